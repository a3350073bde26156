//! Histories of a few rows with letters in between: what is replayed is what a reader in order would have seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millpond_engine::decode::{Format, Table};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn schema() -> SchemaRef {
    let id = Field::new("id", DataType::Int64, false);
    Arc::new(Schema::new(vec![id, Field::new("name", DataType::Utf8, true)]))
}

fn decoder() -> Decoder {
    let options = HashMap::from([("format".to_string(), "debezium-json".to_string())]);
    let table = Table {
        schema: schema(),
        key: vec![0],
    };
    Decoder::new(&Format::parse(&options).unwrap(), &table).unwrap()
}

/// A change in the log of a database.
#[derive(Debug, Clone)]
enum Change {
    Put(i64, String),
    Move(i64, i64, String),
    Delete(i64),
    Truncate,
    /// No message of this format.
    Noise,
}

impl Change {
    fn text(&self) -> String {
        let row = |id: &i64, name: &str| format!(r#"{{"id":{id},"name":"{name}"}}"#);
        let (op, before, after) = match self {
            Self::Put(id, name) => ("c", "null".to_string(), row(id, name)),
            Self::Move(old, new, name) => ("u", row(old, ""), row(new, name)),
            Self::Delete(id) => ("d", row(id, ""), "null".to_string()),
            Self::Truncate => ("t", "null".to_string(), "null".to_string()),
            Self::Noise => return "noise".to_string(),
        };
        format!(r#"{{"payload":{{"op":"{op}","before":{before},"after":{after},"source":{{}}}}}}"#)
    }
}

type Rows = BTreeMap<i64, String>;

/// What a table makes of changes: messages whose old key it does not know change nothing, and are told.
fn apply(rows: &mut Rows, changes: &Changes) -> HashSet<u32> {
    let ids = changes.rows.column(0).as_primitive::<Int64Type>();
    let mut unknown = HashSet::new();
    for (at, kind) in changes.kinds.iter().enumerate() {
        let (id, message) = (ids.value(at), changes.messages[at]);
        match kind {
            _ if unknown.contains(&message) => {}
            Kind::Rekey if rows.remove(&id).is_none() => drop(unknown.insert(message)),
            Kind::Rekey | Kind::Delete => drop(rows.remove(&id)),
            Kind::Truncate => rows.clear(),
            Kind::Put => {
                let names = changes.rows.column(1).as_string::<i32>();
                rows.insert(id, names.value(at).to_string());
            }
            Kind::Merge(_) => unreachable!("nothing is left out"),
        }
    }
    unknown
}

/// A topic partition whose messages at some offsets were letters when they came, and are tried again.
struct Log {
    rows: Rows,
    letters: Vec<u64>,
    tried: Tried,
}

fn letter(offset: usize, change: &Change) -> DeadLetter {
    DeadLetter {
        offset: offset as u64,
        value: Some(change.text().into_bytes()),
        ..DeadLetter::default()
    }
}

fn replay(log: &[Change], bad: impl Fn(usize) -> bool) -> Log {
    let mut rows = Rows::new();
    let mut letters = Vec::new();
    for (offset, change) in log.iter().enumerate() {
        let mut decoder = decoder();
        let pushed = decoder.push(Message {
            key: None,
            value: Some(change.text().as_bytes()),
        });
        let is_dead = bad(offset) || pushed.is_err();
        if is_dead || !apply(&mut rows, &decoder.take().unwrap()).is_empty() {
            letters.push(offset as u64);
        }
    }
    let mut gathered = Gathered::new(decoder(), &[0], &schema()).unwrap();
    for (offset, change) in log.iter().enumerate() {
        let pushed = Pushed::of_letter(&letter(offset, change));
        let text = change.text();
        let message = Message {
            key: None,
            value: Some(text.as_bytes()),
        };
        match letters.contains(&(offset as u64)) {
            true => gathered.add_letter(letter(offset, change)).unwrap(),
            false => gathered.add(pushed, message).unwrap(),
        }
    }
    let tried = gathered.finish().unwrap();
    Log { rows, letters, tried }
}

fn put(id: i64, name: &str) -> Change {
    Change::Put(id, name.to_string())
}

fn places(log: &Log) -> Vec<i64> {
    log.tried.pushed.iter().map(|pushed| pushed.offset).collect()
}

#[test]
fn only_messages_about_rows_of_letters_are_applied_again() {
    let changes = [put(1, "a"), put(1, "b"), put(2, "x"), put(3, "y"), put(1, "c")];
    let mut log = replay(&changes, |offset| offset == 1);
    assert_eq!(places(&log), [1, 4]);
    assert_eq!(log.tried.settled, BTreeSet::from([1]));
    assert!(apply(&mut log.rows, &log.tried.changes).is_empty());
    assert_eq!(log.rows[&1], "c");
}

#[test]
fn a_row_is_followed_through_a_change_of_its_key() {
    let changes = [
        put(1, "a"),
        Change::Move(1, 2, "b".to_string()),
        Change::Move(2, 3, "c".to_string()),
        put(9, "z"),
        Change::Delete(3),
    ];
    let mut log = replay(&changes, |offset| offset == 0);
    // Those that moved a row that was not there are letters too.
    assert_eq!(log.letters, [0, 1, 2]);
    assert_eq!(places(&log), [0, 1, 2, 4]);
    assert!(apply(&mut log.rows, &log.tried.changes).is_empty());
    assert_eq!(log.rows.keys().copied().collect::<Vec<_>>(), [9]);
}

#[test]
fn nothing_before_a_truncate_comes_back() {
    let changes = [put(1, "a"), put(2, "b"), Change::Truncate, put(3, "c")];
    let mut log = replay(&changes, |offset| offset < 2);
    assert_eq!(log.tried.settled, BTreeSet::from([0, 1]));
    assert!(apply(&mut log.rows, &log.tried.changes).is_empty());
    assert_eq!(log.rows.keys().copied().collect::<Vec<_>>(), [3]);
}

#[test]
fn letters_that_are_still_bad_and_late_truncates_stay() {
    let changes = [put(1, "a"), Change::Truncate, Change::Noise, put(2, "b")];
    let log = replay(&changes, |offset| offset == 1);
    let dead: Vec<(u64, &str)> = log
        .tried
        .dead
        .iter()
        .map(|letter| (letter.offset, letter.reason.as_str()))
        .collect();
    assert_eq!(dead, [(2, "not_object"), (1, "truncate_too_late")]);
    assert!(log.tried.settled.is_empty() && log.tried.changes.rows.num_rows() == 0);
}

#[test]
fn a_message_that_cannot_be_read_any_more_may_be_newer() {
    let mut gathered = Gathered::new(decoder(), &[0], &schema()).unwrap();
    let noise = Message {
        key: None,
        value: Some(b"noise"),
    };
    gathered
        .add(Pushed::of_letter(&letter(0, &put(1, "a"))), noise)
        .unwrap();
    gathered.add_letter(letter(1, &put(1, "a"))).unwrap();
    let refused = gathered.add(Pushed::of_letter(&letter(2, &put(1, "a"))), noise);
    assert!(refused.unwrap_err().message.contains("offset 2"));
}

/// What a database could write: only rows that are there move and go.
fn histories() -> impl Strategy<Value = Vec<(Change, bool)>> {
    vec((0_u8..12, 0_i64..5, 0_i64..5, any::<bool>()), 0..60).prop_map(|steps| {
        let mut ids = BTreeSet::new();
        let mut history = Vec::new();
        for (at, (step, id, other, bad)) in steps.into_iter().enumerate() {
            let is_there = ids.contains(&id);
            let change = match step {
                0 if at % 5 == 0 => Change::Truncate,
                1..=3 if is_there => Change::Delete(id),
                4..=6 if is_there && !ids.contains(&other) => Change::Move(id, other, format!("n{at}")),
                _ => put(id, &format!("n{at}")),
            };
            match &change {
                Change::Truncate => ids.clear(),
                Change::Delete(id) => drop(ids.remove(id)),
                Change::Move(old, new, _) => {
                    ids.remove(old);
                    ids.insert(*new);
                }
                Change::Put(..) | Change::Noise => drop(ids.insert(id)),
            }
            let bad = bad && !matches!(change, Change::Truncate);
            history.push((change, bad));
        }
        history
    })
}

proptest! {
    #[test]
    fn the_table_is_as_if_no_letter_had_been_dead(history in histories()) {
        let changes: Vec<Change> = history.iter().map(|(change, _)| change.clone()).collect();
        let mut wanted = Rows::new();
        for change in &changes {
            let mut decoder = decoder();
            decoder.push(Message { key: None, value: Some(change.text().as_bytes()) }).unwrap();
            prop_assert!(apply(&mut wanted, &decoder.take().unwrap()).is_empty());
        }
        let mut log = replay(&changes, |offset| history[offset].1);
        let unknown = apply(&mut log.rows, &log.tried.changes);
        // A row that moved and whose old key has had another row since: the letter stays one.
        prop_assume!(unknown.is_empty());
        prop_assert_eq!(log.rows, wanted);
    }
}
