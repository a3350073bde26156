//! A Kafka broker in this process, for demonstrations: the mock cluster of librdkafka.
//!
//! It serves real clients on a port of loopback. It makes a topic when somebody first writes to it, with 4 partitions; it
//! keeps the newest 5 MiB or 100,000 messages of each topic partition, in memory, and forgets them when it ends. It has
//! no transactions, no offsets by time, and no topics made by request.
//! (<https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h>)

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::error::Error;

/// Partitions of topics, as many as one has that was made by writing to it.
const PARTITIONS: i32 = 4;

/// A running broker. It ends when it is dropped.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl std::fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedBroker")
            .field("address", &self.address())
            .finish()
    }
}

impl EmbeddedBroker {
    /// Starts a broker on a free port, with these topics.
    ///
    /// # Errors
    /// There is no port or no thread for it.
    pub fn start(topics: &[&str]) -> Result<Self, Error> {
        let failed = |error| Error::Node(format!("cannot start the embedded Kafka broker: {error}"));
        let cluster = MockCluster::new(1).map_err(failed)?;
        for topic in topics {
            cluster.create_topic(topic, PARTITIONS, 1).map_err(failed)?;
        }
        Ok(Self { cluster })
    }

    /// `HOST:PORT` for clients.
    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
