//! A change log of customers: at first mostly new ones, then updates, and a few that leave.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::customer::{Customer, Income};
use super::draw::draw_customer;
use super::event::{Envelope, Event};

/// Customers there are when as many come as leave.
const CUSTOMERS: usize = 5_000;
/// 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;
const STEP_MS: u64 = 20;

/// See the module. The same key is in several events, in an order that matters.
pub(super) struct CustomerUpdates {
    envelope: Envelope,
    rng: ChaCha8Rng,
    next_id: u32,
    /// Those there are now.
    rows: Vec<Value>,
    events: u64,
}

impl CustomerUpdates {
    pub(super) fn new(envelope: Envelope, seed: u64) -> Self {
        Self {
            envelope,
            rng: ChaCha8Rng::seed_from_u64(seed),
            next_id: 1,
            rows: Vec::new(),
            events: 0,
        }
    }

    fn insert(&mut self) -> Event {
        let row = row_of(&draw_customer(&mut self.rng, self.next_id));
        self.next_id += 1;
        self.rows.push(row.clone());
        self.event("insert", None, Some(row))
    }

    fn update(&mut self) -> Event {
        let at = self.rng.random_range(0..self.rows.len());
        let before = self.rows[at].clone();
        let row = &mut self.rows[at];
        let spent = self.rng.random_range(1..200);
        row["total_spend"] = json!(row["total_spend"].as_u64().unwrap_or(0) + spent);
        row["recency"] = json!(0);
        if self.rng.random_bool(0.1) {
            row["income"] = json!(self.rng.random_range(20_000..120_000));
        }
        if self.rng.random_bool(0.05) {
            row["response"] = json!(1 - row["response"].as_u64().unwrap_or(0).min(1));
        }
        let after = row.clone();
        self.event("update", Some(before), Some(after))
    }

    fn delete(&mut self) -> Event {
        let at = self.rng.random_range(0..self.rows.len());
        let before = self.rows.swap_remove(at);
        self.event("delete", Some(before), None)
    }

    fn event(&mut self, op: &str, before: Option<Value>, after: Option<Value>) -> Event {
        let time = START_MS + self.events * STEP_MS;
        self.events += 1;
        let id = after
            .as_ref()
            .or(before.as_ref())
            .map_or(Value::Null, |row| row["id"].clone());
        let value = match self.envelope {
            Envelope::Debezium => json!({
                "op": if op == "insert" { "c" } else { &op[..1] },
                "before": before,
                "after": after,
                "source": {"connector": "datagen", "table": "customers", "ts_ms": time},
                "ts_ms": time,
            }),
            Envelope::Op => json!({"op": op, "id": id, "data": after}),
        };
        Event {
            key: json!({ "id": id }).to_string(),
            value: value.to_string(),
        }
    }
}

impl Iterator for CustomerUpdates {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        // Balanced at the number of customers there should be.
        let full = (self.rows.len() as f64 / CUSTOMERS as f64).min(1.0);
        let point: f64 = self.rng.random();
        Some(if self.rows.is_empty() || point < 0.9 - 0.8 * full {
            self.insert()
        } else if point < 1.0 - 0.1 * full {
            self.update()
        } else {
            self.delete()
        })
    }
}

/// The columns of `customers`: those of the marketing file that the model of the jobs looks at.
fn row_of(customer: &Customer) -> Value {
    let income = match customer.income {
        Income::Plain(income) => Some(income),
        _ => None,
    };
    json!({
        "id": customer.id,
        "year_birth": customer.year_birth,
        "education": customer.education,
        "income": income,
        "children": customer.kids + customer.teens,
        "recency": customer.recency,
        "total_spend": customer.spend.iter().map(|spend| u32::from(*spend)).sum::<u32>(),
        "response": u8::from(customer.responded),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn every_change_fits_the_rows_before_it() {
        let mut rows: HashMap<u64, Value> = HashMap::new();
        let mut ops: HashMap<String, usize> = HashMap::new();
        for event in CustomerUpdates::new(Envelope::Debezium, 3).take(30_000) {
            let change: Value = serde_json::from_str(&event.value).unwrap();
            let (before, after) = (&change["before"], &change["after"]);
            let id = if after.is_null() {
                &before["id"]
            } else {
                &after["id"]
            };
            let id = id.as_u64().unwrap();
            let known = rows.remove(&id).unwrap_or(Value::Null);
            assert_eq!(&known, before);
            if !after.is_null() {
                rows.insert(id, after.clone());
            }
            *ops.entry(change["op"].as_str().unwrap().to_string()).or_default() += 1;
        }
        assert!(rows.len() > 3_000 && ops.len() == 3, "{} {ops:?}", rows.len());
    }

    #[test]
    fn both_envelopes_tell_the_same() {
        let logs = [Envelope::Op, Envelope::Debezium].map(|envelope| CustomerUpdates::new(envelope, 1));
        let [op, debezium] = logs.map(|log| log.take(1_000).collect::<Vec<_>>());
        for (op, debezium) in op.iter().zip(&debezium) {
            let values = [op, debezium].map(|event| serde_json::from_str::<Value>(&event.value).unwrap());
            assert_eq!(op.key, debezium.key);
            assert_eq!(values[0]["data"], values[1]["after"]);
        }
    }
}
