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
        let read = expression::read_condition(condition, on)?;
        claims.push(Claim {
            column: "*".to_owned(),
            what: condition.to_string(),
            // As with CHECK of SQL: what is not known does not violate it.
            violated: format!("{} IS FALSE", read.sql),
            refs: read.refs,
        });
    }
    if claims.is_empty() && expect.rows.is_none() && !expect.unique {
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
            let there = present(id, on);
            if !outside.is_empty() {
                let text = |limit: Option<f64>| limit.map_or("...".to_owned(), |limit| limit.to_string());
                claim(
                    format!("from {} to {}", text(least), text(greatest)),
                    format!("({there}({}))", outside.join(" OR ")),
                );
            }
        }
        if let Some(values) = &expect.one_of {
            let list: Result<Vec<String>, _> = values
                .iter()
                .map(|value| literal(value, &name, kind, on))
                .collect();
            let compared = match kind {
                // -0.0 is 0.0.
                Kind::Number => format!("CAST({cell} AS DOUBLE) + 0.0"),
                _ => cell.clone(),
            };
            claim(
                "one of the values".to_owned(),
                format!("({}{compared} NOT IN ({}))", present(id, on), list?.join(", ")),
            );
        }
        if let Some(pattern) = &expect.matches {
            if kind != Kind::Text {
                return Err(pattern.mistake(format!("matches is about texts, and '{name}' is {kind}")));
            }
            claim(
                format!("like {}", **pattern),
                format!("NOT regexp_like({cell}, {})", expression::pattern(pattern, on)?),
            );
        }
    }
    if expect.unique && on.purpose == Purpose::Fit {
        unique(&places, expect.otherwise, on, claims);
    }
    Ok(())
}

/// Rows are compared in all columns together.
fn unique(places: &[usize], otherwise: Otherwise, on: &mut Compiler<'_>, claims: &mut Vec<Claim>) {
    let refs: Vec<Id> = places.iter().map(|place| on.cell(*place)).collect();
    let names: Vec<String> = places.iter().map(|place| on.column(*place).0).collect();
    let (column, what) = (names.join(", "), "unique".to_owned());
    if let Otherwise::Warn | Otherwise::Fail = otherwise {
        let said = format!("{column} is {what}");
        on.verdict_unique(
            &format!("{column}: {what}"),
            &refs,
            said,
            otherwise == Otherwise::Fail,
        );
    } else {
        let mut by: Vec<String> = refs.iter().map(|id| on.chain.sql(*id)).collect();
        by.extend(on.chain.is_live());
        let mut of = refs.clone();
        of.extend(on.chain.fate());
        let count = format!("count(*) OVER (PARTITION BY {})", by.join(", "));
        let count = on.chain.add("count", Kind::Integer, &of, count);
        claims.push(Claim {
            column,
            what,
            violated: format!("{} > 1", on.chain.sql(count)),
            refs: vec![count],
        });
    }
}

/// `x is there AND `, of numbers: NaN is none.
fn present(id: Id, on: &Compiler<'_>) -> String {
    match on.chain.kind(id) {
        Kind::Number => format!("NOT {} AND ", on.is_missing(id)),
        _ => String::new(),
    }
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

/// A value as SQL, to be compared with a column, or to take the place of its values.
///
/// # Errors
/// A value of another kind.
pub(super) fn literal(
    value: &Scalar,
    column: &str,
    kind: Kind,
    on: &Compiler<'_>,
) -> Result<String, Mistake> {
    let text = value.to_string();
    let literal = match (value, kind) {
        (Scalar::Null(()), _) => Some("NULL".to_owned()),
        (Scalar::Integer(value), Kind::Integer) => Some(value.to_string()),
        (Scalar::Integer(value), Kind::Number) => Some(sql::number(*value as f64)),
        (Scalar::Number(value), Kind::Integer) if value.fract() == 0.0 => Some(format!("{value:.0}")),
        (Scalar::Number(value), Kind::Number) => Some(sql::number(*value)),
        (Scalar::Boolean(value), Kind::Boolean) => Some(value.to_string()),
        (_, Kind::Date) => text
            .parse::<jiff::civil::Date>()
            .ok()
            .map(|_| format!("CAST({} AS DATE)", sql::text(&text))),
        (_, Kind::Timestamp) => text
            .parse::<jiff::civil::DateTime>()
            .ok()
            .map(|_| format!("CAST({} AS TIMESTAMP)", sql::text(&text))),
        (_, Kind::Text | Kind::Other) => Some(sql::text(&text)),
        (_, Kind::Integer | Kind::Number | Kind::Boolean) => None,
    };
    literal.ok_or_else(|| {
        Mistake::new(format!(
            "{}: '{column}' is {kind}, and '{text}' is not",
            on.word()
        ))
        .hint("write a value of that kind, or cast the column first")
    })
}

/// A text as the value of a kind that it stands for, or as it is.
pub(super) fn scalar(text: &str, kind: Kind) -> Scalar {
    let read = match kind {
        Kind::Integer => text.parse().map(Scalar::Integer).ok(),
        Kind::Number => text.parse().map(Scalar::Number).ok(),
        Kind::Boolean => text.parse().map(Scalar::Boolean).ok(),
        _ => None,
    };
    read.unwrap_or_else(|| Scalar::Text(text.to_owned()))
}
