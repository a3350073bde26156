//! Messages become columns: how many a second on one core, beside the JSON readers that people would write such a thing with.
//!
//! `just bench-decode`. The messages are those of `bench/ingest`.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for people; what it cannot measure ends it"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use millpond_engine::decode::{Decoder, Format, Message, Table};
use serde::Deserialize;

const MESSAGES: u64 = 500_000;
/// As many as a table that catches up decodes together.
const BATCH: usize = 16_384;
const ROUNDS: usize = 5;

/// What is read of a change when its types are known beforehand.
#[derive(Deserialize)]
struct Envelope<'m> {
    #[serde(borrow)]
    before: Option<Customer<'m>>,
    #[serde(borrow)]
    after: Option<Customer<'m>>,
    op: &'m str,
}

#[derive(Deserialize)]
struct Customer<'m> {
    id: i64,
    name: &'m str,
    region: &'m str,
    amount: i64,
    version: i64,
    updated_at: i64,
}

fn change(number: u64) -> Vec<u8> {
    let (id, cents, at) = (
        number * 2_654_435_761 % 1_000_000,
        number % 100_000,
        1_767_225_600_000 + number,
    );
    let row = format!(
        r#"{{"id":{id},"name":"customer {id:09}","region":"region-{:02}","amount":{cents},"version":{},"updated_at":{at}}}"#,
        id % 20,
        number / 1_000_000
    );
    let (before, after, op) = match number % 10 {
        0 => (row.as_str(), "null", "d"),
        _ => ("null", row.as_str(), "u"),
    };
    let source = r#"{"version":"3.2.0.Final","connector":"postgresql","name":"shop","db":"shop","schema":"public","table":"customers","lsn":"#;
    format!(r#"{{"before":{before},"after":{after},"source":{source}{number}}},"op":"{op}","ts_ms":{at}}}"#)
        .into_bytes()
}

fn reading(number: u64) -> Vec<u8> {
    let (sensor, second, thousandth) = (number % 1000, number / 1000 % 60, number % 1000);
    format!(
        r#"{{"sensor_id":"sensor-{sensor:04}","ts":"2026-01-01T00:00:{second:02}.{thousandth:03}Z","temperature":{}.25,"humidity":{}.5}}"#,
        number % 40,
        number % 100
    )
    .into_bytes()
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn decode(format: &str, schema: &SchemaRef, key: &[usize], messages: &[Vec<u8>]) -> usize {
    let options = HashMap::from([("format".to_string(), format.to_string())]);
    let table = Table {
        schema: schema.clone(),
        key: key.to_vec(),
    };
    let format = Format::parse(&options).expect("a format");
    let mut decoder = Decoder::new(&format, &table).expect("a table for it");
    let mut rows = 0;
    for batch in messages.chunks(BATCH) {
        for value in batch {
            let message = Message {
                key: None,
                value: Some(value),
            };
            decoder.push(message).expect("a good message");
        }
        rows += decoder.take().expect("columns").rows.num_rows();
    }
    rows
}

/// Envelopes read into types that are written down; nothing is put into columns.
fn serde(messages: &[Vec<u8>]) -> usize {
    let rows = messages.iter().map(|value| {
        let envelope: Envelope<'_> = serde_json::from_slice(value).expect("a good message");
        let customer = envelope.after.or(envelope.before).expect("a row");
        black_box((customer.id, customer.name, customer.region, customer.amount));
        black_box((customer.version, customer.updated_at, envelope.op));
    });
    rows.count()
}

fn arrow(schema: &SchemaRef, messages: &[Vec<u8>]) -> usize {
    let mut decoder = ReaderBuilder::new(schema.clone())
        .with_batch_size(BATCH)
        .build_decoder()
        .expect("a decoder");
    let mut rows = 0;
    for batch in messages.chunks(BATCH) {
        for value in batch {
            decoder.decode(value).expect("a good message");
        }
        rows += decoder
            .flush()
            .expect("columns")
            .map_or(0, |rows| rows.num_rows());
    }
    rows
}

/// The best of several rounds, taken in turns.
fn compare(
    what: &str,
    peer: &str,
    messages: &[Vec<u8>],
    ours: impl Fn() -> usize,
    theirs: impl Fn() -> usize,
) {
    let time = |read: &dyn Fn() -> usize| {
        let start = Instant::now();
        assert_eq!(read(), messages.len(), "rows");
        start.elapsed()
    };
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        best = (best.0.min(time(&ours)), best.1.min(time(&theirs)));
    }
    let rate = |time: Duration| messages.len() as f64 / time.as_secs_f64();
    println!(
        "{what}, {} bytes: {:.0} messages/s, {peer} {:.0} ({:.2} of it)",
        messages.iter().map(Vec::len).sum::<usize>() / messages.len(),
        rate(best.0),
        rate(best.1),
        rate(best.0) / rate(best.1)
    );
}

fn main() {
    let changes: Vec<Vec<u8>> = (0..MESSAGES).map(change).collect();
    let customers = schema(&[
        ("id", DataType::Int64),
        ("name", DataType::Utf8),
        ("region", DataType::Utf8),
        ("amount", DataType::Int64),
        ("version", DataType::Int64),
        ("updated_at", DataType::Int64),
    ]);
    compare(
        "changes of Debezium",
        "serde_json without columns",
        &changes,
        || decode("debezium-json", &customers, &[0], &changes),
        || serde(&changes),
    );
    let readings: Vec<Vec<u8>> = (0..MESSAGES).map(reading).collect();
    let utc = DataType::Timestamp(
        datafusion::arrow::datatypes::TimeUnit::Millisecond,
        Some("UTC".into()),
    );
    let sensors = schema(&[
        ("sensor_id", DataType::Utf8),
        ("ts", utc),
        ("temperature", DataType::Float64),
        ("humidity", DataType::Float64),
    ]);
    compare(
        "readings",
        "arrow-json",
        &readings,
        || decode("json", &sensors, &[], &readings),
        || arrow(&sensors, &readings),
    );
}
