//! What must hold.

use crate::chain::Id;
use crate::compile::{Compiler, Purpose};
use crate::expression;
use crate::kind::Kind;
use crate::mistake::Mistake;
use crate::spec::{Expect, Otherwise, Range, Scalar, Selection};
use crate::sql;

/// One thing that must hold.
struct Claim {
    column: String,
    /// In words.
    what: String,
    /// Holds for rows for which the claim does not.
    violated: String,
    refs: Vec<Id>,
}

pub(super) fn compile(expect: &Expect, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    if let Some(rows) = expect.rows {
        count_rows(rows, expect.otherwise, on)?;
    }
    let mut claims = Vec::new();
    if let Some(columns) = &expect.columns {
        of_columns(columns, expect, on, &mut claims)?;
    } else if expect.not_null
        || expect.unique
        || expect.range.is_some()
        || expect.one_of.is_some()
        || expect.matches.is_some()
    {
        return Err(Mistake::new("it is not said of which columns").hint("add columns"));
    }
    if let Some(condition) = &expect.holds {
        let read = expression::read(condition, &on.chain)?;
        claims.push(Claim {
            column: "*".to_owned(),
            what: condition.to_string(),
            // As with CHECK of SQL: what is not known does not violate it.
            violated: format!("{} IS FALSE", read.sql),
            refs: read.refs,
        });
    }
    if claims.is_empty() && expect.rows.is_none() {
        return Err(Mistake::new("nothing is expected")
            .hint("add not_null, unique, range, one_of, matches, holds or rows"));
    }
    for claim in claims {
        enforce(claim, expect.otherwise, on);
    }
    Ok(())
}

fn of_columns(
    columns: &Selection,
    expect: &Expect,
    on: &mut Compiler<'_>,
    claims: &mut Vec<Claim>,
) -> Result<(), Mistake> {
    let places = on.resolve(columns)?;
    for place in &places {
        let (name, kind) = on.column(*place);
        let id = on.cell(*place);
        let cell = on.chain.sql(id);
        let mut claim = |what: String, violated: String| {
            claims.push(Claim {
                column: name.clone(),
                what,
                violated,
                refs: vec![id],
            });
        };
        if expect.not_null {
            claim("not null".to_owned(), on.is_missing(id));
        }
        if let Some(Range(least, greatest)) = expect.range {
            if !kind.is_numeric() {
                return Err(Mistake::new(format!(
                    "range is about numbers, and '{name}' is {kind}"
                )));
            }
            let limits = [(least, "<"), (greatest, ">")];
            let outside: Vec<String> = limits
                .into_iter()
                .filter_map(|(limit, sign)| Some(format!("{cell} {sign} {}", sql::number(limit?))))
                .collect();
            if !outside.is_empty() {
                let text = |limit: Option<f64>| limit.map_or("...".to_owned(), |limit| limit.to_string());
                claim(
                    format!("from {} to {}", text(least), text(greatest)),
                    format!("({})", outside.join(" OR ")),
                );
            }
        }
        if let Some(values) = &expect.one_of {
            let list: Vec<String> = values.iter().map(|value| literal(value, kind)).collect();
            claim(
                "one of the values".to_owned(),
                format!("{cell} NOT IN ({})", list.join(", ")),
            );
        }
        if let Some(pattern) = &expect.matches {
            if kind != Kind::Text {
                return Err(pattern.mistake(format!("matches is about texts, and '{name}' is {kind}")));
            }
            claim(
                format!("like {}", **pattern),
                format!("NOT regexp_like({cell}, {})", expression::pattern(pattern)),
            );
        }
    }
    // They are compared together.
    if expect.unique && on.purpose == Purpose::Fit {
        let refs: Vec<Id> = places.iter().map(|place| on.cell(*place)).collect();
        let mut by: Vec<String> = refs.iter().map(|id| on.chain.sql(*id)).collect();
        by.extend(on.chain.is_live());
        let mut of = refs.clone();
        of.extend(on.chain.fate());
        let count = format!("count(*) OVER (PARTITION BY {})", by.join(", "));
        let count = on.chain.add("count", Kind::Integer, &of, count);
        let names: Vec<String> = places.iter().map(|place| on.column(*place).0).collect();
        claims.push(Claim {
            column: names.join(", "),
            what: "unique".to_owned(),
            violated: format!("{} > 1", on.chain.sql(count)),
            refs: vec![count],
        });
    }
    Ok(())
}

fn enforce(claim: Claim, otherwise: Otherwise, on: &mut Compiler<'_>) {
    let Claim {
        column,
        what,
        violated,
        refs,
    } = claim;
    let said = match column.as_str() {
        "*" => what.clone(),
        column => format!("{column} is {what}"),
    };
    match otherwise {
        Otherwise::Warn | Otherwise::Fail => {
            let key = format!("{column}: {what}");
            on.verdict(&key, &refs, &violated, said, otherwise == Otherwise::Fail);
        }
        Otherwise::Drop => on.doom("dropped", &said, &violated, &refs),
        Otherwise::Quarantine => on.doom("quarantined", &said, &violated, &refs),
    }
}

/// Rows are counted as a whole: 1 if there are too few or too many.
fn count_rows(rows: Range, otherwise: Otherwise, on: &mut Compiler<'_>) -> Result<(), Mistake> {
    let Range(least, greatest) = rows;
    let fatal = match otherwise {
        Otherwise::Warn => false,
        Otherwise::Fail => true,
        Otherwise::Drop | Otherwise::Quarantine => {
            return Err(
                Mistake::new("rows is about all rows, so none can be left out for it")
                    .hint("write otherwise: warn or fail"),
            );
        }
    };
    let live = on.chain.is_live().unwrap_or_else(|| "true".to_owned());
    let count = format!("count(CASE WHEN {live} THEN 1 END)");
    let mut outside: Vec<String> = Vec::new();
    outside.extend(least.map(|least| format!("{count} < {}", sql::number(least))));
    outside.extend(greatest.map(|greatest| format!("{count} > {}", sql::number(greatest))));
    if outside.is_empty() {
        return Err(Mistake::new("rows has no limit").hint("write rows: [1, null]"));
    }
    let text = |limit: Option<f64>| limit.map_or("...".to_owned(), |limit| limit.to_string());
    let said = format!("{} to {} rows", text(least), text(greatest));
    on.verdict_of_all(
        "rows",
        format!("CASE WHEN {} THEN 1 ELSE 0 END", outside.join(" OR ")),
        said,
        fatal,
    );
    Ok(())
}

/// A value as SQL, to be compared with a column.
pub(super) fn literal(value: &Scalar, kind: Kind) -> String {
    match (value, kind) {
        (Scalar::Null(()), _) => "NULL".to_owned(),
        (Scalar::Integer(value), Kind::Integer) => value.to_string(),
        (Scalar::Integer(value), Kind::Number) => sql::number(*value as f64),
        (Scalar::Number(value), Kind::Integer | Kind::Number) => sql::number(*value),
        (Scalar::Boolean(value), Kind::Boolean) => value.to_string(),
        (value, Kind::Date) => format!("CAST({} AS DATE)", sql::text(&value.to_string())),
        (value, Kind::Timestamp) => format!("CAST({} AS TIMESTAMP)", sql::text(&value.to_string())),
        (value, _) => sql::text(&value.to_string()),
    }
}
