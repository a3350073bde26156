//! Where the rows of a pipeline are: those that come out, and why others do not.

use std::fmt;

use millpond_engine::error::Error;
use millpond_pipeline::fit::Engine;
use millpond_pipeline::fitted::Key;
use millpond_pipeline::{Compiled, Fitted, Value, sql};

use super::runner::Runner;

/// What happened to rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    /// The step.
    pub(super) step: String,
    /// `dropped`, `rejected` or `quarantined`.
    pub(super) how: String,
    pub(super) reason: String,
    pub(super) rows: u64,
}

/// See the module. Rows in are rows out and those of all fates.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    pub(super) fates: Vec<Fate>,
    /// Rows that were rejected or quarantined.
    pub(super) set_aside: u64,
}

impl Account {
    /// Counts, and makes sure that no row is missing.
    pub(super) async fn of(
        compiled: &Compiled,
        fitted: &Fitted,
        runner: &mut Runner<'_>,
    ) -> Result<Self, Error> {
        let rows_in = fitted
            .get(&Key::rows_of_source())
            .and_then(Value::number)
            .unwrap_or(0.0) as u64;
        let chain = &compiled.chain;
        let mut refs: Vec<_> = compiled.dropped.iter().map(|(_, id)| *id).collect();
        refs.extend(chain.fate());
        refs.extend(chain.weight());
        let fate = chain
            .fate()
            .map_or("CAST(NULL AS TEXT)".to_string(), |id| chain.sql(id));
        let rows = chain
            .weight()
            .map_or("count(*)".to_string(), |id| format!("sum({})", chain.sql(id)));
        let mut head = vec![format!("{fate} AS fate"), format!("{rows} AS rows")];
        let dropped = compiled.dropped.iter().enumerate();
        head.extend(dropped.map(|(number, (_, id))| format!("sum({}) AS d{number}", chain.sql(*id))));
        let query = chain.query(&head.join(", "), &refs, &format!("GROUP BY {fate}"));
        let counted = runner.rows(&query).await.map_err(Error::from)?;
        let mut account = Self {
            rows_in,
            rows_out: 0,
            fates: Vec::new(),
            set_aside: 0,
        };
        let mut duplicates = vec![0; compiled.dropped.len()];
        for row in counted {
            let count = |at: usize| row.get(at).and_then(Value::number).unwrap_or(0.0) as u64;
            match row.first() {
                Some(Value::Text(fate)) => account.add(fate.as_str(), count(1)),
                _ => account.rows_out += count(1),
            }
            for (number, total) in duplicates.iter_mut().enumerate() {
                *total += count(2 + number);
            }
        }
        for ((step, _), rows) in compiled.dropped.iter().zip(duplicates) {
            account.fates.push(Fate {
                step: step.clone(),
                how: "dropped".to_string(),
                reason: "duplicate".to_string(),
                rows,
            });
        }
        let number = |step: &str| {
            step.split(' ')
                .next()
                .and_then(|number| number.parse::<u32>().ok())
        };
        account.fates.sort_by_key(|fate| number(&fate.step));
        let elsewhere: u64 = account.fates.iter().map(|fate| fate.rows).sum();
        match account.rows_out + elsewhere == rows_in {
            true => Ok(account),
            false => Err(Error::bug(format!("rows of the pipeline are missing: {account}"))),
        }
    }

    fn add(&mut self, fate: &str, rows: u64) {
        let mut parts = fate.splitn(3, '|');
        let mut part = || parts.next().unwrap_or_default().to_string();
        let fate = Fate {
            step: part(),
            how: part(),
            reason: part(),
            rows,
        };
        if fate.how != "dropped" {
            self.set_aside += rows;
        }
        self.fates.push(fate);
    }

    /// The query that has the rows that were set aside, as they came, with the reason.
    pub(super) fn set_aside_query(&self, compiled: &Compiled) -> String {
        let chain = &compiled.chain;
        let Some(fate) = chain.fate() else {
            return "SELECT 1".to_string();
        };
        let fate_sql = chain.sql(fate);
        let part = |number: u32| format!("split_part({fate_sql}, '|', {number})");
        // A reason may have bars itself.
        let reason = format!(r"regexp_replace({fate_sql}, '^[^|]*\|[^|]*\|', '')");
        // The columns of the source keep their names.
        let free = |name: &str| {
            let mut name = name.to_string();
            let is_taken = |name: &str| {
                let mut taken = compiled.source.iter();
                taken.any(|(other, _)| other.eq_ignore_ascii_case(name))
            };
            while is_taken(&name) {
                name.push('_');
            }
            sql::ident(&name)
        };
        let mut head = vec![
            format!("{} AS {}", part(1), free("step")),
            format!("{} AS {}", part(2), free("how")),
            format!("{reason} AS {}", free("reason")),
        ];
        let mut refs = vec![fate];
        if let Some(weight) = chain.weight() {
            head.push(format!("{} AS {}", chain.sql(weight), free("copies")));
            refs.push(weight);
        }
        for (name, id) in &compiled.source {
            head.push(format!("{} AS {}", chain.sql(*id), sql::ident(name)));
            refs.push(*id);
        }
        let tail = format!("WHERE {} IN ('rejected', 'quarantined')", part(2));
        chain.query(&head.join(", "), &refs, &tail)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in, {} out", self.rows_in, self.rows_out)?;
        for fate in &self.fates {
            write!(
                f,
                ", {} {} by step {} ({})",
                fate.rows, fate.how, fate.step, fate.reason
            )?;
        }
        Ok(())
    }
}
