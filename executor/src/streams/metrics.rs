//! What is measured of tables that follow topics, by table and topic partition.

use std::sync::Once;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use millpond_proto::stream::PartitionStatus;

const POSITION: &str = "stream_position";
const LAG: &str = "stream_lag_messages";
const LAG_TIME: &str = "stream_last_message_age_seconds";
const ROWS: &str = "stream_rows";
const BYTES: &str = "stream_bytes";
const RUNS: &str = "stream_up";
const CHECKPOINT_AGE: &str = "stream_checkpoint_age_seconds";
const MESSAGES: &str = "stream_messages_total";
const DAMAGED: &str = "stream_damaged_checkpoints_total";

fn describe() {
    static DESCRIBED: Once = Once::new();
    DESCRIBED.call_once(|| {
        describe_gauge!(POSITION, "next offset to read of a topic partition");
        describe_gauge!(LAG, "messages of a topic partition that are not read yet");
        describe_gauge!(LAG_TIME, Unit::Seconds, "age of the last message that was read");
        describe_gauge!(ROWS, "rows of a topic partition");
        describe_gauge!(BYTES, Unit::Bytes, "memory that they and their index take");
        describe_gauge!(
            RUNS,
            "1 while a topic partition is read or paused, 0 if it is stalled or failed"
        );
        describe_gauge!(CHECKPOINT_AGE, Unit::Seconds, "age of the last checkpoint");
        describe_counter!(
            MESSAGES,
            "messages by outcome: applied, filtered, dead or skipped; read is their sum"
        );
        describe_counter!(
            DAMAGED,
            "checkpoints that were passed over for an older one, because something of them is missing or damaged"
        );
    });
}

/// Counts checkpoints that could not be used.
pub(super) fn count_damaged(table: &str, partition: u32, checkpoints: usize) {
    describe();
    let labels = [("table", table.to_string()), ("partition", partition.to_string())];
    counter!(DAMAGED, &labels).increment(checkpoints as u64);
}

/// Writes what is known of a topic partition into the registry. `now_ms` is milliseconds since the Unix epoch.
pub(super) fn publish(table: &str, status: &PartitionStatus, now_ms: u64) {
    describe();
    let (table, partition) = (table.to_string(), status.number.to_string());
    let set = |name: &'static str, value: f64| {
        gauge!(name, "table" => table.clone(), "partition" => partition.clone()).set(value);
    };
    let age = |ms: u64| now_ms.saturating_sub(ms) as f64 / 1000.0;
    set(POSITION, status.position as f64);
    if let Some(end) = status.end {
        set(LAG, end.saturating_sub(status.position) as f64);
    }
    if status.last_message_ms > 0 {
        set(LAG_TIME, age(status.last_message_ms));
    }
    if status.checkpoint_ms > 0 {
        set(CHECKPOINT_AGE, age(status.checkpoint_ms));
    }
    set(ROWS, status.rows as f64);
    set(BYTES, status.bytes as f64);
    set(
        RUNS,
        f64::from(!matches!(status.state.as_str(), "stalled" | "failed")),
    );
    for (outcome, messages) in [
        ("applied", status.applied),
        ("filtered", status.filtered),
        ("dead", status.dead),
        ("skipped", status.skipped),
    ] {
        let labels = [
            ("table", table.clone()),
            ("partition", partition.clone()),
            ("outcome", outcome.to_string()),
        ];
        counter!(MESSAGES, &labels).absolute(messages);
    }
}
