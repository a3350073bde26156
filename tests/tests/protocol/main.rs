//! The protocol by which a topic partition is followed, stored, moved and read, with its steps in every order.
//! docs/kafka.md says what it promises.
//!
//! ```text
//! scheduler (log) ── Hear, late or never ─► executors ── task ─► folder of checkpoints        session ── Pin ─► owner
//! ```
//!
//! A [`scenario`](Scenario) says how often what may go wrong; within it everything is looked at. With one of the
//! [`Rules`] left out it must go wrong: that shows that the model sees it.

mod cluster;
mod folder;
mod rows;
mod rules;
mod task;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::cluster::Cluster;
use crate::rules::{Left, Rules, Scenario};

/// Longest time for one scenario.
const PATIENCE: Duration = Duration::from_secs(120);

const NOTHING: Left = Left {
    messages: 0,
    crashes: 0,
    suspicions: 0,
    moves: 0,
    damages: 0,
    merges: 0,
    restarts: 0,
    statements: 0,
};

/// Owners that are killed or cut off.
const LOSS: Scenario = Scenario {
    name: "loss",
    executors: 2,
    messages: 2,
    kept: 2,
    stores: true,
    left: Left {
        suspicions: 1,
        crashes: 1,
        ..NOTHING
    },
};

/// Checkpoints that are damaged, also while the topic partition moves.
const DAMAGE: Scenario = Scenario {
    name: "damage",
    messages: 1,
    left: Left {
        moves: 1,
        crashes: 1,
        damages: 1,
        ..NOTHING
    },
    ..LOSS
};

/// An old owner that deletes what it does not need, while a new one begins. How many are kept says only how much it must
/// store until then.
const DELETION: Scenario = Scenario {
    name: "deletion",
    kept: 1,
    left: Left {
        suspicions: 1,
        merges: 1,
        ..NOTHING
    },
    ..LOSS
};

/// Statements while owners change.
const READING: Scenario = Scenario {
    name: "reading",
    messages: 1,
    stores: false,
    left: Left {
        messages: 1,
        suspicions: 1,
        restarts: 1,
        statements: 2,
        ..NOTHING
    },
    ..LOSS
};

/// Statements while a topic partition moves.
const MOVING: Scenario = Scenario {
    name: "moving",
    left: Left {
        messages: 1,
        moves: 1,
        restarts: 1,
        statements: 2,
        ..NOTHING
    },
    ..READING
};

/// The same, and the old owner seems to be gone.
const MOVING_AT_ONCE: Scenario = Scenario {
    name: "moving at once",
    left: Left {
        suspicions: 1,
        ..MOVING.left
    },
    ..MOVING
};

/// Looks at everything that can happen, and says what must not.
fn explore(scenario: Scenario, rules: Rules, until: HasDiscoveries) -> Result<BTreeSet<&'static str>> {
    let start = Instant::now();
    let cluster = Cluster { rules, scenario };
    let checker = cluster.checker().threads(2).finish_when(until).timeout(PATIENCE);
    let checker = checker.spawn_bfs().join();
    let found = checker.discoveries();
    let wrong = found
        .iter()
        .filter(|(name, _)| checker.model().property(name).expectation == Expectation::Always);
    let wrong: BTreeSet<&str> = wrong.map(|(name, _)| *name).collect();
    eprintln!(
        "{}: {} states, {} steps deep, {:.1} s: {wrong:?}",
        scenario.name,
        checker.unique_state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64()
    );
    for name in &wrong {
        let path = found.get(name).context("a property has no path")?.clone();
        path.into_actions()
            .iter()
            .for_each(|action| eprintln!("    {action:?}"));
    }
    ensure!(start.elapsed() < PATIENCE, "{} takes too long", scenario.name);
    Ok(wrong)
}

/// Nothing goes wrong, and what should happen does.
fn holds(scenario: Scenario) -> Result<()> {
    let wrong = explore(scenario, Rules::ALL, HasDiscoveries::AnyFailures)?;
    ensure!(wrong.is_empty(), "{}: {wrong:?}", scenario.name);
    Ok(())
}

/// Something goes wrong without one of the rules.
fn breaks(property: &'static str, scenario: Scenario, leave_out: impl FnOnce(&mut Rules)) -> Result<()> {
    let mut rules = Rules::ALL;
    leave_out(&mut rules);
    let until = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let wrong = explore(scenario, rules, until)?;
    ensure!(
        wrong.contains(property),
        "{} and not '{property}': {wrong:?}",
        scenario.name
    );
    Ok(())
}

#[test]
fn loss() -> Result<()> {
    holds(LOSS)
}

#[test]
fn damage() -> Result<()> {
    holds(DAMAGE)
}

#[test]
fn deletion() -> Result<()> {
    holds(DELETION)
}

#[test]
fn reading() -> Result<()> {
    holds(READING)
}

#[test]
fn moving() -> Result<()> {
    holds(MOVING)
}

#[test]
fn each_rule_of_storing_is_needed() -> Result<()> {
    breaks("late checkpoints do not count", LOSS, |rules| {
        rules.reader_heeds_fence = false
    })?;
    breaks("the newest checkpoint is whole", DELETION, |rules| {
        rules.saver_heeds_fence = false
    })?;
    breaks("the newest checkpoint is whole", LOSS, |rules| {
        rules.parts_first = false
    })?;
    breaks("rows are those of their position", LOSS, |rules| {
        rules.position_of_rows = false
    })?;
    breaks("checkpoints are not lost", LOSS, |rules| {
        rules.claims_first = false
    })?;
    breaks("the newest checkpoint is whole", DELETION, |rules| {
        rules.claims_first = false
    })?;
    breaks("in the end the table has caught up", DAMAGE, |rules| {
        rules.standby_passes_over = false
    })
}

#[test]
fn each_rule_of_reading_is_needed() -> Result<()> {
    breaks("reads never go back", MOVING, |rules| rules.epoch_raised = false)?;
    breaks("reads never go back", READING, |rules| {
        rules.waits_for_end = false
    })?;
    breaks("reads never go back", READING, |rules| {
        rules.pin_checks_owner = false
    })?;
    breaks("reads never go back", READING, |rules| {
        rules.remembers_pins = false;
        rules.pin_checks_owner = false;
    })?;
    breaks("reads never go back", MOVING_AT_ONCE, |rules| {
        rules.asks_end_as_owner = false
    })?;
    breaks("a statement sees one position", READING, |rules| {
        rules.scans_read_pin = false
    })
}
