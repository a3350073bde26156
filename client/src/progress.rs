//! The line on standard error that tells how far a statement is. Without a terminal there is none.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::connection::{StatementStatus, Watch};

/// Statements that end within this time show no line at all.
const QUIET: Duration = Duration::from_millis(300);
/// How often the time on the line moves.
const TICK: Duration = Duration::from_millis(120);

/// Shows how far statements are, one after the other.
#[derive(Debug, Default)]
pub struct Progress {
    /// Position in the script, such as `3/7`.
    script: Option<String>,
    line: Option<Line>,
}

#[derive(Debug)]
struct Line {
    bar: ProgressBar,
    started: Instant,
    is_drawn: bool,
}

impl Progress {
    /// Says which of how many statements of a script comes next.
    pub fn set_statement(&mut self, number: usize, count: usize) {
        self.script = Some(format!("statement {number}/{count}"));
    }
}

impl Watch for Progress {
    fn on_status(&mut self, status: &StatementStatus) {
        let line = self.line.get_or_insert_with(Line::new);
        line.show(&describe(self.script.as_deref(), status), status);
    }

    fn on_end(&mut self) {
        if let Some(line) = self.line.take() {
            line.bar.finish_and_clear();
        }
    }
}

impl Line {
    fn new() -> Self {
        Self {
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
            started: Instant::now(),
            is_drawn: false,
        }
    }

    fn show(&mut self, text: &str, status: &StatementStatus) {
        if !self.is_drawn && self.started.elapsed() >= QUIET {
            self.is_drawn = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:20} {elapsed} · {msg}") {
                self.bar.set_style(style);
            }
            self.bar.enable_steady_tick(TICK);
        }
        self.bar.set_length(u64::from(status.tasks_total.max(1)));
        self.bar.set_position(u64::from(status.tasks_done));
        self.bar.set_message(text.to_owned());
    }
}

/// `stage 2/5 · 34/64 tasks · 1.2 GB`, with what is done at the moment in front, if the statement has several parts
fn describe(script: Option<&str>, status: &StatementStatus) -> String {
    let mut parts: Vec<String> = script.map(str::to_owned).into_iter().collect();
    if !status.phase.is_empty() {
        parts.push(status.phase.clone());
    }
    if status.stages_total > 0 {
        let current = (status.stages_done + 1).min(status.stages_total);
        parts.push(format!("stage {current}/{}", status.stages_total));
        parts.push(format!("{}/{} tasks", status.tasks_done, status.tasks_total));
    } else {
        parts.push(status.state.clone());
    }
    if status.shuffle_bytes > 0 {
        parts.push(HumanBytes(status.shuffle_bytes).to_string());
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_counts_the_stage_that_runs() {
        let status = StatementStatus {
            state: "running".into(),
            stages_total: 5,
            stages_done: 1,
            tasks_total: 64,
            tasks_done: 34,
            shuffle_bytes: 3 << 29,
            ..Default::default()
        };
        assert_eq!(describe(None, &status), "stage 2/5 · 34/64 tasks · 1.50 GiB");
        let done = StatementStatus {
            stages_done: 5,
            ..status
        };
        assert!(describe(None, &done).starts_with("stage 5/5"));
    }

    #[test]
    fn line_says_which_part_runs() {
        let status = StatementStatus {
            state: "running".into(),
            phase: "6 impute".into(),
            ..Default::default()
        };
        assert_eq!(describe(None, &status), "6 impute · running");
    }

    #[test]
    fn statement_without_stages_shows_its_state() {
        let status = StatementStatus {
            state: "queued".into(),
            ..Default::default()
        };
        assert_eq!(describe(Some("statement 1/2"), &status), "statement 1/2 · queued");
    }
}
