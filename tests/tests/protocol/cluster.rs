//! One topic partition, its executors, the scheduler with its log, and a session that reads.
//!
//! What an executor is told comes late or never: it hears any version of the log that is newer than what it knows, at any
//! time. One that hears nothing is cut off, goes on as it was, and comes back when it hears something.

use std::fmt;

use stateright::{Model, Property};

use crate::folder::{Folder, Name, Process};
use crate::rules::{Left, Rules, Scenario};
use crate::task::{Phase, Place, Saving, Sight, Task, Work, Wrong};

/// Somebody who follows the topic partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    process: Process,
    epoch: u8,
}

/// A version of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Placed {
    owner: Owner,
    standby: Option<Owner>,
}

/// An executor. It keeps what it knows until it is killed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Executor {
    /// Number of its process.
    process: u8,
    /// Version that it has heard of; 0: none.
    known: usize,
    task: Option<Task>,
    /// What goes on of one that was followed before.
    old: Option<Task>,
}

/// A statement that reads the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Statement {
    /// The catalog that it sees.
    version: usize,
    /// Who keeps rows for it, and at which position.
    pinned: Option<(Process, u8)>,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// Where the topic ends.
    end: u8,
    folder: Folder,
    /// The catalog log. Version n is at n − 1.
    catalog: Vec<Placed>,
    /// Highest position that the scheduler knows to have been shown.
    remembered: u8,
    executors: Vec<Executor>,
    statement: Option<Statement>,
    /// For the properties: highest position of a statement that has ended.
    shown: u8,
    pub(crate) wrong: Option<Wrong>,
    left: Left,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} in {:?}", self.wrong, self.end, self.catalog.last())
    }
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A message comes to the topic.
    Message,
    /// An executor does something about what it follows, or (`old`) followed.
    Work {
        executor: u8,
        old: bool,
        work: Work,
    },
    /// An executor hears what it is to follow.
    Hear {
        executor: u8,
        version: usize,
    },
    /// The scheduler gives the topic partition to an executor, because the owner is gone or fenced (`free`), or seems to be.
    Replace {
        to: u8,
        free: bool,
    },
    Move {
        to: u8,
    },
    Promote {
        free: bool,
    },
    DropStandby {
        free: bool,
    },
    RestartScheduler,
    Crash {
        executor: u8,
    },
    Damage {
        name: Name,
    },
    /// A statement takes the catalog as it is.
    Start,
    Pin,
    /// It has scanned everything.
    End,
    /// It is planned again.
    Again,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) rules: Rules,
    pub(crate) scenario: Scenario,
}

impl State {
    fn current(&self) -> Option<&Placed> {
        self.catalog.last()
    }

    fn is_there(&self, process: Process) -> bool {
        self.executors[process.0 as usize].process == process.1
    }

    fn task_of(&self, owner: Owner) -> Option<&Task> {
        let executor = &self.executors[owner.process.0 as usize];
        let task = executor.task.as_ref()?;
        (task.epoch == owner.epoch && self.is_there(owner.process)).then_some(task)
    }

    fn is_fenced(&self, owner: Owner) -> bool {
        self.task_of(owner)
            .is_some_and(|task| task.phase == Phase::Fenced)
    }

    fn process(&self, executor: u8) -> Process {
        (executor, self.executors[executor as usize].process)
    }

    fn next_epoch(&self) -> u8 {
        let known = self.current().into_iter();
        let epochs = known.flat_map(|placed| [Some(placed.owner), placed.standby]);
        epochs.flatten().map(|owner| owner.epoch).max().unwrap_or(0) + 1
    }

    /// True if everything that was produced can be read, and is stored.
    fn has_caught_up(&self, scenario: &Scenario) -> bool {
        let Some(task) = self.current().and_then(|placed| self.task_of(placed.owner)) else {
            return false;
        };
        let is_stored = || {
            let rests = task
                .saver
                .as_ref()
                .is_some_and(|saver| saver.saving == Saving::Idle);
            rests && (!scenario.stores || task.stored == Some(self.end))
        };
        let is_readable = task.readable_from.is_some_and(|from| from <= self.end);
        let runs = task.phase == Phase::Runs && task.rows.position == self.end && is_readable;
        runs && is_stored()
            && self.statement.is_none()
            && self.current().is_some_and(|placed| placed.standby.is_none())
    }

    fn all_rows_are_folds(&self) -> bool {
        let tasks = self.executors.iter().flat_map(|executor| &executor.task);
        let mut stored = self.folder.checkpoints.keys();
        let is_fold = |name: &Name| {
            self.folder
                .whole(*name)
                .is_none_or(|checkpoint| checkpoint.is_fold())
        };
        stored.all(is_fold) && tasks.into_iter().all(|task| task.rows.is_fold())
    }

    /// True if the newest checkpoint that counts and that nobody has damaged has everything that it names.
    fn newest_is_whole(&self) -> bool {
        let is_damaged = |name: &Name| {
            self.folder
                .checkpoints
                .get(name)
                .is_some_and(|found| found.damaged)
        };
        let candidates = self.folder.candidates(true);
        let newest = candidates.iter().find(|name| !is_damaged(name));
        newest.is_none_or(|name| self.folder.whole(*name).is_some())
    }

    fn hear(&mut self, at: u8, version: usize) {
        let placed = self.catalog[version - 1];
        let process = self.process(at);
        let owners = [(Some(placed.owner), false), (placed.standby, true)];
        let mine = |(owner, standby): (Option<Owner>, bool)| {
            Some((owner.filter(|owner| owner.process == process)?, standby))
        };
        let wanted = owners.into_iter().find_map(mine);
        let executor = &mut self.executors[at as usize];
        executor.known = version;
        if let Some(task) = executor.task.take() {
            match wanted {
                Some((owner, standby)) if owner.epoch == task.epoch => {
                    executor.task = Some(task.promoted_if(!standby));
                }
                _ => {
                    executor.old = Some(task)
                        .filter(Task::is_pending)
                        .or_else(|| executor.old.take())
                }
            }
        }
        if let (Some((owner, standby)), None) = (wanted, &executor.task) {
            executor.task = Some(Task::new(owner.epoch, standby));
        }
    }

    fn restart_scheduler(&mut self) {
        self.remembered = 0;
        self.plan_again();
    }

    fn plan_again(&mut self) {
        self.left.statements += u8::from(self.statement.take().is_some());
    }
}

impl Cluster {
    fn work(&self, state: &State, actions: &mut Vec<Action>) {
        let sight = Sight {
            rules: &self.rules,
            scenario: &self.scenario,
            folder: &state.folder,
            end: state.end,
        };
        for (at, executor) in (0..).zip(&state.executors) {
            for (old, task) in [(false, &executor.task), (true, &executor.old)] {
                let Some(task) = task else { continue };
                let mut add = |work| {
                    actions.push(Action::Work {
                        executor: at,
                        old,
                        work,
                    })
                };
                task.work(old, sight, state.left.merges > 0, &mut add);
            }
            let newer = executor.known + 1..=state.catalog.len();
            actions.extend(newer.map(|version| Action::Hear {
                executor: at,
                version,
            }));
        }
    }

    /// What the scheduler may do about who follows.
    fn place(&self, state: &State, actions: &mut Vec<Action>) {
        let executors = 0..self.scenario.executors;
        let Some(placed) = state.current() else {
            return actions.push(Action::Replace { to: 0, free: true });
        };
        let (owner, left) = (placed.owner, &state.left);
        let is_gone = !state.is_there(owner.process);
        let others = executors.filter(|at| is_gone || *at != owner.process.0);
        if let Some(standby) = placed.standby {
            let is_ready = state
                .task_of(standby)
                .is_some_and(|task| task.phase == Phase::Runs);
            match state.is_there(standby.process) {
                true if is_gone || is_ready => actions.push(Action::Promote { free: true }),
                true if left.suspicions > 0 => actions.push(Action::Promote { free: false }),
                true => {}
                false => actions.push(Action::DropStandby { free: true }),
            }
            if state.is_there(standby.process) && left.suspicions > 0 {
                actions.push(Action::DropStandby { free: false });
            }
        } else if is_gone || state.is_fenced(owner) {
            actions.extend(others.map(|to| Action::Replace { to, free: true }));
        } else {
            if left.suspicions > 0 {
                actions.extend(others.clone().map(|to| Action::Replace { to, free: false }));
            }
            if left.moves > 0 {
                actions.extend(others.map(|to| Action::Move { to }));
            }
        }
    }

    fn read(&self, state: &State, actions: &mut Vec<Action>) {
        let Some(statement) = &state.statement else {
            if state.left.statements > 0 && !state.catalog.is_empty() {
                actions.push(Action::Start);
            }
            return;
        };
        let is_current = statement.version == state.catalog.len();
        let owner = state.catalog[statement.version - 1].owner;
        match statement.pinned {
            Some((process, _)) if state.is_there(process) => actions.push(Action::End),
            Some(_) => actions.push(Action::Again),
            None => {
                let is_owner = state.current().is_some_and(|placed| placed.owner == owner);
                let counts = is_owner || !self.rules.pin_checks_owner;
                if counts
                    && state
                        .task_of(owner)
                        .is_some_and(|task| is_far_enough(task, state.remembered))
                {
                    actions.push(Action::Pin);
                }
                if !is_current {
                    actions.push(Action::Again);
                }
            }
        }
    }

    fn faults(&self, state: &State, actions: &mut Vec<Action>) {
        if state.left.crashes > 0 {
            let running = (0..)
                .zip(&state.executors)
                .filter(|(_, executor)| executor.known > 0);
            actions.extend(running.map(|(executor, _)| Action::Crash { executor }));
        }
        if state.left.restarts > 0 && (state.remembered > 0 || state.statement.is_some()) {
            actions.push(Action::RestartScheduler);
        }
        if state.left.damages > 0
            && let Some(name) = state.folder.candidates(true).first().copied()
        {
            actions.push(Action::Damage { name });
        }
    }

    fn commit(&self, state: &mut State, owner: Owner, standby: Option<Owner>) {
        state.catalog.push(Placed { owner, standby });
    }

    fn replace(&self, state: &mut State, to: u8, free: bool) {
        let process = state.process(to);
        let raised =
            self.rules.epoch_raised || state.current().is_none_or(|placed| state.is_fenced(placed.owner));
        let epoch = if raised {
            state.next_epoch()
        } else {
            state.next_epoch() - 1
        };
        state.left.suspicions -= u8::from(!free);
        self.commit(state, Owner { process, epoch }, None);
    }

    fn begin_move(&self, state: &mut State, to: u8) {
        let Some(placed) = state.current().copied() else {
            return;
        };
        let process = state.process(to);
        let epoch = state.next_epoch() - u8::from(!self.rules.epoch_raised);
        state.left.moves -= 1;
        self.commit(state, placed.owner, Some(Owner { process, epoch }));
    }

    fn end_move(&self, state: &mut State, promotes: bool, free: bool) {
        let Some(Placed {
            owner,
            standby: Some(standby),
        }) = state.current().copied()
        else {
            return;
        };
        state.left.suspicions -= u8::from(!free);
        self.commit(state, if promotes { standby } else { owner }, None);
    }

    fn step(&self, state: &mut State, at: u8, old: bool, work: Work) {
        let executor = &mut state.executors[at as usize];
        let process = (at, executor.process);
        let slot = if old {
            &mut executor.old
        } else {
            &mut executor.task
        };
        let Some(task) = slot else { return };
        let mut place = Place {
            rules: &self.rules,
            scenario: &self.scenario,
            folder: &mut state.folder,
            end: state.end,
            process,
            wrong: &mut state.wrong,
        };
        task.take(work, &mut place);
        state.left.merges -= u8::from(work == Work::Merge);
        if old && !task.is_pending() {
            *slot = None;
        }
    }

    fn pin(&self, state: &mut State) {
        let Some(version) = state.statement.as_ref().map(|statement| statement.version) else {
            return;
        };
        let owner = state.catalog[version - 1].owner;
        let Some(position) = state.task_of(owner).map(|task| task.rows.position) else {
            return;
        };
        if self.rules.remembers_pins {
            state.remembered = state.remembered.max(position);
        }
        let pinned = Some((owner.process, position));
        state.statement = Some(Statement { version, pinned });
    }

    fn end(&self, state: &mut State) {
        let Some(Statement {
            pinned: Some((process, position)),
            ..
        }) = state.statement.take()
        else {
            return;
        };
        let now = state.executors[process.0 as usize].task.as_ref();
        let now = now.map_or(position, |task| task.rows.position);
        if !self.rules.scans_read_pin && now != position {
            state.wrong.get_or_insert(Wrong::SeveralPositions);
        }
        if position < state.shown {
            state.wrong.get_or_insert(Wrong::ReadWentBack);
        }
        state.shown = state.shown.max(position);
    }
}

fn is_far_enough(task: &Task, remembered: u8) -> bool {
    let is_far = |from: u8| task.rows.position >= from.max(remembered);
    task.readable_from.is_some_and(is_far)
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            end: self.scenario.messages,
            folder: Folder::default(),
            catalog: Vec::new(),
            remembered: 0,
            executors: vec![Executor::default(); self.scenario.executors as usize],
            statement: None,
            shown: 0,
            wrong: None,
            left: self.scenario.left,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.work(state, actions);
        self.place(state, actions);
        self.read(state, actions);
        self.faults(state, actions);
        if state.left.messages > 0 {
            actions.push(Action::Message);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Message => {
                next.left.messages -= 1;
                next.end += 1;
            }
            Action::Work { executor, old, work } => self.step(&mut next, executor, old, work),
            Action::Hear { executor, version } => next.hear(executor, version),
            Action::Replace { to, free } => self.replace(&mut next, to, free),
            Action::Move { to } => self.begin_move(&mut next, to),
            Action::Promote { free } => self.end_move(&mut next, true, free),
            Action::DropStandby { free } => self.end_move(&mut next, false, free),
            Action::RestartScheduler => {
                next.left.restarts -= 1;
                next.restart_scheduler();
            }
            Action::Crash { executor } => {
                next.left.crashes -= 1;
                let process = next.executors[executor as usize].process + 1;
                next.executors[executor as usize] = Executor {
                    process,
                    ..Executor::default()
                };
            }
            Action::Damage { name } => {
                next.left.damages -= 1;
                next.folder.was_damaged = true;
                next.folder
                    .checkpoints
                    .entry(name)
                    .and_modify(|found| found.damaged = true);
            }
            Action::Start => {
                next.left.statements -= 1;
                let version = next.catalog.len();
                next.statement = Some(Statement {
                    version,
                    pinned: None,
                });
            }
            Action::Pin => self.pin(&mut next),
            Action::End => self.end(&mut next),
            Action::Again => next.plan_again(),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("rows are those of their position", |_, state: &State| {
                state.all_rows_are_folds()
            }),
            Property::always("the newest checkpoint is whole", |_, state: &State| {
                state.newest_is_whole()
            }),
            Property::always("late checkpoints do not count", |_, state: &State| {
                state.wrong != Some(Wrong::LateCheckpointCounts)
            }),
            Property::always("checkpoints are not lost", |_, state: &State| {
                state.wrong != Some(Wrong::CheckpointLost)
            }),
            Property::always("reads never go back", |_, state: &State| {
                state.wrong != Some(Wrong::ReadWentBack)
            }),
            Property::always("a statement sees one position", |_, state: &State| {
                state.wrong != Some(Wrong::SeveralPositions)
            }),
            Property::always(
                "in the end the table has caught up",
                |model: &Self, state: &State| {
                    let mut actions = Vec::new();
                    model.actions(state, &mut actions);
                    !actions.is_empty() || state.has_caught_up(&model.scenario)
                },
            ),
            Property::sometimes("an old owner is fenced", |_, state: &State| {
                let mut owners = state.executors.iter().flat_map(|executor| &executor.task);
                owners.any(|task| task.phase == Phase::Fenced)
            }),
            Property::sometimes("everything is read", |_, state: &State| {
                state.shown == state.end && state.end > 0
            }),
        ]
    }
}
