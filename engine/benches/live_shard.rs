//! Changes of a live shard with very many keys, beside the same changes of a hash map: how many a second, and the longest
//! time for which the stream, or a reader, stands still meanwhile.
//!
//! `just bench-live [KEYS]`. One shard has all keys, which is worse than any table: those have several topic partitions.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for people; what it cannot measure ends it"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use millpond_engine::decode::{Changes, Kind};
use millpond_engine::shards::{LiveShard, LiveTable, ShardStore};

const KEYS: i64 = 10_000_000;
/// Changes that are applied together, as when a topic is read from its start and when it is followed.
const LARGE: i64 = 16_384;
const SMALL: i64 = 1_000;
/// Small batches.
const UPDATES: i64 = 10_000;
const REGIONS: [&str; 4] = ["north", "east", "south", "west"];

type Row = (&'static str, f64, i64);

/// The n-th change of a run: a row of a key that seems to be random.
fn change(number: i64, keys: i64) -> (i64, Row) {
    // Far from the one before, and each once before any comes twice, if factor and number of keys have no common divisor.
    let key = number * 6_180_339_887 % keys;
    (
        key,
        (REGIONS[(number % 4) as usize], number as f64 / 100.0, number),
    )
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("region", DataType::Utf8, true),
        Field::new("amount", DataType::Float64, true),
        Field::new("version", DataType::Int64, true),
    ]))
}

fn batch(numbers: std::ops::Range<i64>, keys: i64) -> Changes {
    let rows: Vec<(i64, Row)> = numbers.map(|number| change(number, keys)).collect();
    let columns: [ArrayRef; 4] = [
        Arc::new(rows.iter().map(|(id, _)| Some(*id)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|(_, row)| Some(row.0)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|(_, row)| Some(row.1)).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|(_, row)| Some(row.2)).collect::<Int64Array>()),
    ];
    Changes {
        rows: RecordBatch::try_new(schema(), columns.to_vec()).expect("four columns of one length"),
        kinds: vec![Kind::Put; rows.len()],
        messages: (0..rows.len() as u32).collect(),
    }
}

/// Times of batches.
struct Times {
    what: &'static str,
    changes: i64,
    each: Vec<Duration>,
    peer: Duration,
}

impl Times {
    fn say(mut self) {
        self.each.sort_unstable();
        let at = |share: f64| self.each[((self.each.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let rate = |time: Duration| self.changes as f64 / time.as_secs_f64();
        let (ours, peer) = (rate(self.each.iter().sum()), rate(self.peer));
        println!(
            "{}: {ours:.0} changes/s, hash map {peer:.0} ({:.2} of it); a batch p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            self.what,
            ours / peer,
            at(0.5),
            at(0.99),
            at(1.0),
        );
    }
}

fn run(
    what: &'static str,
    numbers: std::ops::Range<i64>,
    size: i64,
    keys: i64,
    shard: &mut LiveShard,
    peer: &mut HashMap<i64, Row>,
) {
    let mut times = Times {
        what,
        changes: numbers.end - numbers.start,
        each: Vec::new(),
        peer: Duration::ZERO,
    };
    for first in numbers.clone().step_by(size as usize) {
        let part = first..numbers.end.min(first + size);
        let changes = batch(part.clone(), keys);
        let start = Instant::now();
        shard.apply(&changes).expect("room for all");
        shard.publish(part.end as u64);
        times.each.push(start.elapsed());
        let start = Instant::now();
        for (key, row) in part.map(|number| change(number, keys)) {
            peer.insert(key, row);
        }
        times.peer += start.elapsed();
    }
    times.say();
}

fn main() {
    let keys = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(KEYS);
    let store = Arc::new(ShardStore::new(
        Arc::new(UnboundedMemoryPool::default()),
        usize::MAX,
    ));
    let table = LiveTable {
        name: "t".to_string(),
        schema: schema(),
        required: Vec::new(),
        key: vec![0],
        version: None,
        expiry: None,
        bytes_max: None,
    };
    let mut shard = LiveShard::new(store, table, 0).expect("a key of numbers");
    let mut peer = HashMap::new();
    println!("{keys} keys");
    let ends = Arc::new(AtomicBool::new(false));
    let reader = {
        let (views, ends) = (shard.views(), ends.clone());
        std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !ends.load(Ordering::Relaxed) {
                let start = Instant::now();
                let view = views.read().clone();
                longest = longest.max(start.elapsed());
                std::hint::black_box(view.position());
                std::thread::sleep(Duration::from_millis(1));
            }
            longest
        })
    };
    run("first rows", 0..keys, LARGE, keys, &mut shard, &mut peer);
    run(
        "updates, many at once",
        keys..2 * keys,
        LARGE,
        keys,
        &mut shard,
        &mut peer,
    );
    let few = 2 * keys..2 * keys + UPDATES * SMALL;
    run("updates, few at once", few, SMALL, keys, &mut shard, &mut peer);
    ends.store(true, Ordering::Relaxed);
    let longest = reader.join().unwrap_or_default();
    println!(
        "a reader: longest wait for a snapshot {:.2} ms",
        longest.as_secs_f64() * 1e3
    );
    let rows = shard.views().read().rows();
    assert_eq!(rows, peer.len(), "rows");
    println!(
        "{rows} rows, {:.0} bytes each with their index",
        shard.bytes() as f64 / rows as f64
    );
}
