//! Messages that come faster than they are polled.

use anyhow::{Result, ensure};
use cluster_tests::Bench;

/// More than one report of the follower passes while they come.
const BURSTS: usize = 40;
const MESSAGES: usize = 3000;

/// The client's fetches are at the end of the topic again and again while messages still wait to be polled.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_passed_over_near_the_end_of_a_topic() -> Result<()> {
    let bench = Bench::start(1).await?;
    let topic = bench.broker.topic("fast", 2).await?;
    bench.broker.say(&topic, 0, r#"{"n":1}"#)?;
    bench.create("t", "n BIGINT", &topic, "'format' 'json'").await?;
    bench.wait("t", &topic).await?;
    for _ in 0..BURSTS {
        for message in 0..MESSAGES {
            let partition = (message % 2) as i32;
            bench.broker.send(&topic, partition, None, Some(br#"{"n":1}"#))?;
        }
        bench.broker.flush()?;
    }
    bench.wait("t", &topic).await?;
    let sent = (1 + BURSTS * MESSAGES) as i64;
    let rows = bench.client.number("SELECT count(*) FROM t").await?;
    ensure!(rows == sent, "{rows} rows of {sent} messages");
    let counted = "SELECT CAST(sum(position - applied - filtered - dead - skipped) AS BIGINT) FROM system.stream_partitions WHERE table_name = 't'";
    let lost = bench.client.number(counted).await?;
    ensure!(lost == 0, "{lost} messages are not accounted for");
    Ok(())
}
