//! The protocol by which a topic partition is followed, stored, moved and read, checked in every order of its steps.
//! docs/kafka.md says what it promises.

mod cluster;
mod folder;
mod rows;
mod rules;
mod task;

use std::time::Instant;

use anyhow::{Result, ensure};
use stateright::{Checker, Model};

use crate::cluster::Cluster;
use crate::rules::{Left, Rules, Scenario};

const NONE: Left = Left { messages: 0, crashes: 0, suspicions: 0, moves: 0, damages: 0, merges: 0, restarts: 0, statements: 0 };

const LOSS: Scenario = Scenario {
    name: "loss",
    executors: 2,
    messages: 3,
    kept: 2,
    stores: true,
    left: Left { suspicions: 1, ..NONE },
};

fn explore(scenario: Scenario, rules: Rules) -> Result<()> {
    let start = Instant::now();
    let checker = Cluster { rules, scenario }.checker().threads(2).spawn_bfs().join();
    eprintln!("{}: {} states, {} deep, {:?}", scenario.name, checker.unique_state_count(), checker.max_depth(), start.elapsed());
    for (name, path) in checker.discoveries() {
        eprintln!("{name}: {:#?}", path.into_actions());
    }
    Ok(())
}

#[test]
fn all() -> Result<()> {
    let a = |x: &str| std::env::var(x).ok().and_then(|x| x.parse::<u8>().ok()).unwrap_or(0);
    let left = Left { messages: a("ME"), crashes: a("C"), suspicions: a("S"), moves: a("MO"), damages: a("D"), merges: a("G"), restarts: a("R"), statements: a("ST") };
    explore(Scenario { left, stores: a("STORES") > 0, messages: a("M"), ..LOSS }, Rules::ALL)
}
