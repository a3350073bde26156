//! `system.streams`, `system.stream_partitions` and `system.dead_letters`.

use std::collections::HashMap;

use millpond_proto::catalog::{KafkaTable, PartitionOwner, Relation, TopicPartition};
use millpond_proto::stream::PartitionStatus;

use super::system::{Cell, Columns, Kind, SystemTables};
use crate::state::CatalogState;
use millpond_engine::clock::now_ms;

pub(super) const STREAMS: Columns = &[
    ("table_schema", Kind::Text),
    ("table_name", Kind::Text),
    ("brokers", Kind::Text),
    ("topic", Kind::Text),
    ("format", Kind::Text),
    ("kind", Kind::Text),
    ("state", Kind::Text),
    ("reason", Kind::Text),
    ("partitions", Kind::Number),
    ("lag", Kind::Number),
    ("rows", Kind::Number),
    ("bytes", Kind::Number),
    ("messages_per_s", Kind::Number),
    ("read", Kind::Number),
    ("applied", Kind::Number),
    ("filtered", Kind::Number),
    ("dead", Kind::Number),
    ("skipped", Kind::Number),
    ("stale", Kind::Number),
    ("late_rows", Kind::Number),
    ("watermark", Kind::Time),
];
pub(super) const PARTITIONS: Columns = &[
    ("table_schema", Kind::Text),
    ("table_name", Kind::Text),
    ("topic", Kind::Text),
    ("partition", Kind::Number),
    ("executor_id", Kind::Text),
    ("epoch", Kind::Number),
    ("standby_id", Kind::Text),
    ("state", Kind::Text),
    ("reason", Kind::Text),
    ("start_offset", Kind::Number),
    ("position", Kind::Number),
    ("end_offset", Kind::Number),
    ("lag", Kind::Number),
    ("lag_ms", Kind::Number),
    ("last_message_at", Kind::Time),
    ("messages_per_s", Kind::Number),
    ("rows", Kind::Number),
    ("bytes", Kind::Number),
    ("read", Kind::Number),
    ("applied", Kind::Number),
    ("filtered", Kind::Number),
    ("dead", Kind::Number),
    ("skipped", Kind::Number),
    ("stale", Kind::Number),
    ("late_rows", Kind::Number),
    ("watermark", Kind::Time),
    ("checkpoint_offset", Kind::Number),
    ("checkpoint_at", Kind::Time),
    ("checkpoint_error", Kind::Text),
];
pub(super) const DEAD_LETTERS: Columns = &[
    ("table_schema", Kind::Text),
    ("table_name", Kind::Text),
    ("topic", Kind::Text),
    ("kafka_partition", Kind::Number),
    ("kafka_offset", Kind::Number),
    ("kafka_timestamp", Kind::Time),
    ("reason", Kind::Text),
    ("detail", Kind::Text),
    ("key", Kind::Bytes),
    ("value", Kind::Bytes),
];

/// States of topic partitions, the one that a table is said to be in first.
const STATES: &[&str] = &["failed", "stalled", "paused", "starting", "backfilling", "live"];

/// A row for each table that follows a topic.
pub(super) async fn streams(system: &SystemTables, version: &CatalogState) -> Vec<Vec<Cell>> {
    system.streams.refresh().await;
    let rows = version.kafka_tables().map(|(relation, table)| {
        let partitions: Vec<PartitionStatus> = table
            .partitions
            .iter()
            .map(|partition| status_of(system, table, partition))
            .collect();
        let rank = |status: &&PartitionStatus| STATES.iter().position(|state| *state == status.state);
        let worst = partitions.iter().min_by_key(rank).cloned().unwrap_or_default();
        // Of a table the least, and none as long as a topic partition has none.
        let watermark = partitions.iter().map(|status| status.watermark_ms).min();
        let sum = |of: fn(&PartitionStatus) -> u64| Cell::from(partitions.iter().map(of).sum::<u64>());
        vec![
            relation.schema.clone().into(),
            relation.name.clone().into(),
            table.brokers.clone().into(),
            table.topic.clone().into(),
            table.settings.get("format").cloned().into(),
            if table.key.is_empty() { "append" } else { "keyed" }
                .to_string()
                .into(),
            worst.state.into(),
            text(worst.reason),
            (partitions.len() as u64).into(),
            sum(|status| lag(status).unwrap_or(0)),
            sum(|status| status.rows),
            sum(|status| status.bytes),
            sum(|status| status.messages_per_s),
            sum(|status| status.read),
            sum(|status| status.applied),
            sum(|status| status.filtered),
            sum(|status| status.dead),
            sum(|status| status.skipped),
            sum(|status| status.stale),
            sum(|status| status.late_rows),
            time(watermark.flatten()),
        ]
    });
    rows.collect()
}

/// A row for each topic partition.
pub(super) async fn partitions(system: &SystemTables, version: &CatalogState) -> Vec<Vec<Cell>> {
    system.streams.refresh().await;
    let members = system.cluster.members().await;
    let executors: HashMap<String, String> = members
        .into_iter()
        .map(|member| (member.address, member.id))
        .collect();
    let executor_of = |owner: &Option<PartitionOwner>| {
        let address = owner.as_ref().map(|owner| &owner.address);
        Cell::Text(address.and_then(|address| executors.get(address).cloned()))
    };
    let mut rows = Vec::new();
    for (relation, table) in version.kafka_tables() {
        for partition in &table.partitions {
            let status = status_of(system, table, partition);
            let owner = partition.owner.as_ref();
            let seen = Some(status.last_message_ms).filter(|ms| *ms > 0);
            let lag = lag(&status);
            let lag_ms = match (lag, seen) {
                (Some(0), _) => Some(0),
                (Some(_), Some(seen)) => Some(now_ms().saturating_sub(seen)),
                _ => None,
            };
            rows.push(vec![
                relation.schema.clone().into(),
                relation.name.clone().into(),
                table.topic.clone().into(),
                u64::from(partition.number).into(),
                executor_of(&partition.owner),
                Cell::Number(owner.map(|owner| owner.epoch)),
                executor_of(&partition.standby),
                status.state.into(),
                text(status.reason),
                partition.start.into(),
                status.position.into(),
                status.end.into(),
                lag.into(),
                lag_ms.into(),
                Cell::Time(seen),
                status.messages_per_s.into(),
                status.rows.into(),
                status.bytes.into(),
                status.read.into(),
                status.applied.into(),
                status.filtered.into(),
                status.dead.into(),
                status.skipped.into(),
                status.stale.into(),
                status.late_rows.into(),
                time(status.watermark_ms),
                status.checkpoint.into(),
                Cell::Time(Some(status.checkpoint_ms).filter(|ms| *ms > 0)),
                text(status.checkpoint_error),
            ]);
        }
    }
    rows
}

/// A row for each message that could not become a row.
pub(super) async fn dead_letters(system: &SystemTables, version: &CatalogState) -> Vec<Vec<Cell>> {
    let tables: HashMap<&str, (&Relation, &KafkaTable)> = version
        .kafka_tables()
        .map(|(relation, table)| (table.table_id.as_str(), (relation, table)))
        .collect();
    let mut letters = system.streams.dead_letters(version).await;
    letters.sort_by(|a, b| (&a.table_id, a.partition, a.offset).cmp(&(&b.table_id, b.partition, b.offset)));
    let rows = letters.into_iter().filter_map(|letter| {
        let (relation, table) = tables.get(letter.table_id.as_str())?;
        Some(vec![
            relation.schema.clone().into(),
            relation.name.clone().into(),
            table.topic.clone().into(),
            u64::from(letter.partition).into(),
            letter.offset.into(),
            Cell::Time(Some(letter.timestamp_ms).filter(|ms| *ms > 0)),
            letter.reason.into(),
            letter.detail.into(),
            Cell::Bytes(letter.key),
            Cell::Bytes(letter.value),
        ])
    });
    rows.collect()
}

/// What is known of a topic partition; one without an owner that answers has not started.
fn status_of(system: &SystemTables, table: &KafkaTable, partition: &TopicPartition) -> PartitionStatus {
    let owner = partition.owner.as_ref();
    let known = owner.and_then(|owner| system.streams.status_of(&table.table_id, partition.number, owner));
    known.unwrap_or_else(|| PartitionStatus {
        position: partition.start,
        state: "starting".to_string(),
        ..Default::default()
    })
}

/// Messages that are not read yet.
fn lag(status: &PartitionStatus) -> Option<u64> {
    status.end.map(|end| end.saturating_sub(status.position))
}

fn time(ms: Option<i64>) -> Cell {
    Cell::Time(ms.and_then(|ms| u64::try_from(ms).ok()))
}

fn text(text: String) -> Cell {
    Cell::Text(Some(text).filter(|text| !text.is_empty()))
}
