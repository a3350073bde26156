//! Readings of sensors: temperature and humidity that follow the time of day, with the dirt of such streams.
//!
//! Of a thousand readings some five come late, ten lack the humidity, two are outliers and one is broken off.

use jiff::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::json;

use super::event::Event;

const SENSORS: u64 = 50;
/// Milliseconds between two readings of the stream: each sensor tells one a second.
const STEP_MS: i64 = 1000 / SENSORS as i64;
/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;
const DAY_MS: f64 = 86_400_000.0;
/// Latest that a late reading is.
const LATE_MS_MAX: i64 = 30_000;

/// See the module.
pub(super) struct Sensors {
    rng: ChaCha8Rng,
    next: u64,
}

impl Sensors {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            next: 0,
        }
    }

    fn noise(&mut self) -> f64 {
        StandardNormal.sample(&mut self.rng)
    }
}

impl Iterator for Sensors {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let sensor = self.next % SENSORS;
        let mut time = START_MS + self.next as i64 * STEP_MS;
        self.next += 1;
        let daily = ((time - START_MS) as f64 / DAY_MS * std::f64::consts::TAU).sin();
        let mut temperature = 18.0 + 6.0 * daily + sensor as f64 / 10.0 + 0.4 * self.noise();
        let humidity = (55.0 - 12.0 * daily + 2.0 * self.noise()).clamp(0.0, 100.0);
        if self.rng.random_bool(0.005) {
            time -= self.rng.random_range(1_000..LATE_MS_MAX);
        }
        if self.rng.random_bool(0.002) {
            temperature = if self.rng.random_bool(0.5) { 99.9 } else { -40.0 };
        }
        let humidity = (!self.rng.random_bool(0.01)).then_some(round(humidity));
        let key = format!("sensor-{sensor:02}");
        let ts = Timestamp::from_millisecond(time).unwrap_or_default();
        let mut value = json!({
            "sensor_id": key,
            "ts": ts.to_string(),
            "temperature": round(temperature),
            "humidity": humidity,
        })
        .to_string();
        if self.rng.random_bool(0.001) {
            value.truncate(value.len() / 2);
        }
        Some(Event { key, value })
    }
}

/// Two digits behind the point, as the devices have.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_json_with_little_dirt_and_depend_on_the_seed() {
        let readings: Vec<Event> = Sensors::new(1).take(10_000).collect();
        let parsed = readings
            .iter()
            .map(|event| serde_json::from_str::<serde_json::Value>(&event.value));
        let good: Vec<_> = parsed.filter_map(Result::ok).collect();
        assert!((9_960..10_000).contains(&good.len()), "{}", good.len());
        let incomplete = good
            .iter()
            .filter(|reading| reading["humidity"].is_null())
            .count();
        assert!((50..200).contains(&incomplete), "{incomplete}");
        assert_eq!(readings, Sensors::new(1).take(10_000).collect::<Vec<_>>());
        assert_ne!(readings, Sensors::new(2).take(10_000).collect::<Vec<_>>());
    }
}
