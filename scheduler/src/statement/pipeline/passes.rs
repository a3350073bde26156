//! Where the time of a run went: what it did one after the other, how long each took, and for which steps.
//!
//! Steps share passes over the rows, so a step alone has no time; a pass has. All time between the start and the report is
//! in one of them, planning and waiting too.

use std::time::{Duration, Instant};

/// Something that a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pass {
    /// Such as `learn`.
    what: String,
    /// Number and word of the steps it was for.
    pub(super) steps: Vec<String>,
    /// Statements that ran.
    queries: usize,
    pub(super) elapsed: Duration,
}

impl Pass {
    /// For people: `learn 3 impute, 5 standardize (2 queries)`.
    pub(super) fn name(&self) -> String {
        let mut name = self.what.clone();
        if !self.steps.is_empty() {
            name.push(' ');
            name.push_str(&self.steps.join(", "));
        }
        match self.queries {
            0 => {}
            1 => name.push_str(" (1 query)"),
            several => name.push_str(&format!(" ({several} queries)")),
        }
        name
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Passes {
    done: Vec<Pass>,
    open: Option<(Pass, Instant)>,
}

impl Passes {
    /// Ends what was done, and begins something else.
    pub(super) fn begin(&mut self, what: &str, steps: &[String]) {
        self.end();
        let pass = Pass {
            what: what.to_string(),
            steps: steps.to_vec(),
            queries: 0,
            elapsed: Duration::ZERO,
        };
        self.open = Some((pass, Instant::now()));
    }

    /// Counts a statement.
    pub(super) fn count_query(&mut self) {
        if let Some((pass, _)) = &mut self.open {
            pass.queries += 1;
        }
    }

    /// Ends what was done. Two of the same that follow each other are one.
    pub(super) fn end(&mut self) {
        let Some((mut pass, since)) = self.open.take() else {
            return;
        };
        pass.elapsed = since.elapsed();
        match self.done.last_mut() {
            Some(last) if last.what == pass.what && last.steps == pass.steps => {
                last.queries += pass.queries;
                last.elapsed += pass.elapsed;
            }
            _ => self.done.push(pass),
        }
    }

    /// What was done, in order.
    pub(super) fn done(&self) -> &[Pass] {
        &self.done
    }
}

/// Seconds, as the report has them.
pub(super) fn seconds(elapsed: Duration) -> String {
    format!("{:.3}", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_follow_each_other() {
        let steps = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut passes = Passes::default();
        passes.count_query();
        for (what, of, queries) in [
            ("read", steps(&[]), 1),
            ("learn", steps(&["1 impute", "3 clip"]), 2),
            ("learn", steps(&["3 clip"]), 0),
            ("learn", steps(&["3 clip"]), 3),
        ] {
            passes.begin(what, &of);
            (0..queries).for_each(|_| passes.count_query());
        }
        assert!(
            passes.done().iter().all(|pass| pass.queries < 3),
            "the last is not over"
        );
        passes.end();
        passes.end();
        assert_eq!(passes.done().len(), 3, "two of the same are one");
        let names: Vec<String> = passes.done().iter().map(Pass::name).collect();
        assert_eq!(
            names,
            [
                "read (1 query)",
                "learn 1 impute, 3 clip (2 queries)",
                "learn 3 clip (3 queries)"
            ]
        );
    }
}
