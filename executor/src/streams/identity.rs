//! Which topic it is: one that was deleted and made anew has its name and is another, with other messages at its offsets
//! (KIP-516).

use std::ffi::CString;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_DescribeTopics,
    rd_kafka_DescribeTopics_result_topics, rd_kafka_TopicCollection_destroy,
    rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_topic_id,
    rd_kafka_Uuid_least_significant_bits, rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t,
    rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy, rd_kafka_queue_destroy, rd_kafka_queue_new,
    rd_kafka_queue_poll,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use uuid::Uuid;

/// Longest wait for an answer of the brokers.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How clusters of the embedded broker call themselves.
const EMBEDDED: &str = "mockCluster";

/// True if the brokers are the embedded one, which does not answer everything. It blocks.
pub(super) fn is_embedded<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    let cluster = consumer.client().fetch_cluster_id(TIMEOUT);
    cluster.is_some_and(|cluster| cluster.starts_with(EMBEDDED))
}

/// The identifier of a topic; `None` if brokers do not answer or have none. It blocks.
pub(super) fn topic_id<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> Option<String> {
    let client = consumer.client().native_ptr();
    let name = CString::new(topic).ok()?;
    let wait = TIMEOUT.as_millis() as i32;
    #[expect(unsafe_code, reason = "the client has no safe form of this question")]
    // SAFETY: the consumer keeps the client alive. What is made here is given back here, after what was made of it, and
    // pointers into the event are not used after it. The name outlives the collection, which has a copy.
    let id = unsafe {
        let queue = Held::new(rd_kafka_queue_new(client), rd_kafka_queue_destroy)?;
        let mut names = [name.as_ptr()];
        let topics = rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let topics = Held::new(topics, rd_kafka_TopicCollection_destroy)?;
        let question = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = rd_kafka_AdminOptions_new(client, question);
        let options = Held::new(options, rd_kafka_AdminOptions_destroy)?;
        rd_kafka_DescribeTopics(client, topics.get(), options.get(), queue.get());
        let event = Held::new(rd_kafka_queue_poll(queue.get(), wait), rd_kafka_event_destroy)?;
        let answer = NonNull::new(rd_kafka_event_DescribeTopics_result(event.get()).cast_mut())?;
        let mut count = 0;
        let topics = rd_kafka_DescribeTopics_result_topics(answer.as_ptr(), &raw mut count);
        let first = NonNull::new(topics).filter(|_| count == 1)?;
        let id = NonNull::new(rd_kafka_TopicDescription_topic_id(*first.as_ptr()).cast_mut())?;
        let high = rd_kafka_Uuid_most_significant_bits(id.as_ptr());
        let low = rd_kafka_Uuid_least_significant_bits(id.as_ptr());
        Uuid::from_u64_pair(high.cast_unsigned(), low.cast_unsigned())
    };
    // That of brokers that have no identifiers.
    (!id.is_nil()).then(|| id.to_string())
}

/// Something of the client's library that is to be given back.
struct Held<T> {
    pointer: NonNull<T>,
    give_back: unsafe extern "C" fn(*mut T),
}

impl<T> Held<T> {
    /// `None` if there is nothing.
    fn new(pointer: *mut T, give_back: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        let pointer = NonNull::new(pointer)?;
        Some(Self { pointer, give_back })
    }

    fn get(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the client's library wants it back")]
        // SAFETY: it came from the library and is given back once, with the function that is for it.
        unsafe {
            (self.give_back)(self.pointer.as_ptr());
        }
    }
}
