//! One page of HTML with everything in it: no script, no other file, no address.

use std::io;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::draw;
use super::look::{ColumnLook, Look};

const STYLE: &str = "\
    body{font:14px/1.45 system-ui,sans-serif;color:#3a424d;max-width:72rem;margin:2rem auto;padding:0 1rem}\
    h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.2rem;border-bottom:1px solid #d6dae0}\
    table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}\
    td.value{word-break:break-word;max-width:40rem}th{color:#7b8491;font-weight:normal}\
    .columns{display:grid;grid-template-columns:12rem 1fr 1fr;gap:.7rem 1.2rem;align-items:start}\
    .name{word-break:break-word}.small{color:#7b8491;font-size:.85rem}svg{max-width:100%;height:auto}";

/// What a run says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Name of the pipeline.
    pub name: &'a str,
    /// Where its rows come from.
    pub source: &'a str,
    /// What its steps did.
    pub lines: &'a [Line],
}

/// Step, column, what, value.
pub type Line = [String; 4];

/// The page of a run over rows that looked like `before`, and then like `after`.
///
/// # Errors
/// A picture that cannot be drawn.
pub fn page(run: Run<'_>, before: &Look, after: &Look) -> io::Result<String> {
    let title = format!("Pipeline {}", run.name);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p { (before.rows) " rows of " (run.source) ", " (after.rows) " rows out" }
                (steps(run.lines))
                (missing("Missing values before", before)?)
                (missing("Missing values after", after)?)
                (distributions(before, after)?)
                (correlations("Correlations before", before)?)
                (correlations("Correlations after", after)?)
            }
        }
    };
    Ok(page.into_string())
}

fn steps(lines: &[Line]) -> Markup {
    html! {
        h2 { "Steps" }
        table {
            tr { th { "step" } th { "column" } th { "what" } th { "value" } }
            @for (number, [step, column, what, value]) in lines.iter().enumerate() {
                tr {
                    td { @if number == 0 || lines[number - 1][0] != *step { (step) } }
                    td { (column) } td { (what) } td.value { (value) }
                }
            }
        }
    }
}

/// Columns by name, whose letters may be large or small, those that are new behind the others.
fn distributions(before: &Look, after: &Look) -> io::Result<Markup> {
    let find = |look: &'_ Look, name: &str| {
        let mut columns = look.columns.iter();
        columns.position(|column| column.name.eq_ignore_ascii_case(name))
    };
    let new = after
        .columns
        .iter()
        .filter(|column| find(before, &column.name).is_none());
    let names = before
        .columns
        .iter()
        .chain(new)
        .map(|column| column.name.as_str());
    let mut rows = Vec::new();
    for name in names {
        let cell = |look: &Look| find(look, name).map(|at| column(&look.columns[at])).transpose();
        rows.push((name, cell(before)?, cell(after)?));
    }
    let more = before.more.max(after.more);
    Ok(html! {
        h2 { "Distributions" }
        div.columns {
            div.small { "column" } div.small { "before" } div.small { "after" }
            @for (name, before, after) in rows {
                div.name { (name) }
                div { (before.unwrap_or_else(|| absent("not there"))) }
                div { (after.unwrap_or_else(|| absent("gone"))) }
            }
        }
        @if more > 0 { p.small { (more) " more columns are not drawn" } }
    })
}

fn column(column: &ColumnLook) -> io::Result<Markup> {
    let picture = draw::shape(&column.shape)?;
    Ok(html! {
        (PreEscaped(picture))
        div.small {
            (column.kind.to_string())
            @if column.missing > 0 { ", " (column.missing) " missing" }
        }
    })
}

fn absent(word: &str) -> Markup {
    html! { span.small { (word) } }
}

fn missing(title: &str, look: &Look) -> io::Result<Markup> {
    let picture = draw::missing(look)?;
    Ok(html! {
        h2 { (title) }
        @match picture {
            Some(picture) => (PreEscaped(picture)),
            None => p.small { "none" },
        }
    })
}

fn correlations(title: &str, look: &Look) -> io::Result<Markup> {
    let picture = draw::correlations(&look.correlations)?;
    Ok(match picture {
        Some(picture) => html! {
            h2 { (title) }
            p.small { "Pearson's coefficient of each pair: blue is positive, red negative, grey has none." }
            (PreEscaped(picture))
        },
        None => Markup::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::picture::{Correlations, Shape};

    fn look() -> Look {
        let column = |name: &str, missing, shape| ColumnLook {
            name: name.to_owned(),
            kind: Kind::Text,
            missing,
            shape,
        };
        let bins = Shape::Bins {
            low: "0".to_owned(),
            high: "9".to_owned(),
            counts: vec![0, 3, 1],
        };
        let values = Shape::Values {
            top: vec![("<b>".to_owned(), 7)],
            others: 2,
        };
        Look {
            rows: 9,
            columns: vec![
                column("<script>alert(1)</script>", 1, bins),
                column("b", 0, values),
                column("c", 9, Shape::Nothing),
            ],
            more: 0,
            correlations: Correlations {
                names: vec!["a".to_owned(), "b".to_owned()],
                values: vec![vec![Some(1.0), Some(-0.5)], vec![Some(-0.5), None]],
            },
        }
    }

    fn made(before: &Look, after: &Look) -> String {
        let lines = [["1 trim", "a&b", "values", "<i>"].map(str::to_owned)];
        let run = Run {
            name: "p",
            source: "t",
            lines: &lines,
        };
        page(run, before, after).unwrap()
    }

    #[test]
    fn no_text_becomes_markup() {
        let page = made(&look(), &look());
        for markup in ["<script", "<b>", "<i>", "a&b"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;"));
    }

    #[test]
    fn a_page_has_a_picture_of_everything_that_is_there() {
        let page = made(&look(), &look());
        // Three columns, missing values and correlations, before and after.
        assert_eq!(page.matches("<svg").count(), 2 * (3 + 1 + 1));
        let empty = Look::default();
        assert_eq!(made(&empty, &empty).matches("<svg").count(), 0);
    }

    #[test]
    fn columns_that_come_and_go_are_told() {
        let mut after = look();
        after.columns[1].name = "new".to_owned();
        after.columns[2].name = "C".to_owned();
        let page = made(&look(), &after);
        let told = |word: &str| page.matches(word).count();
        assert_eq!((told("gone"), told("not there")), (1, 1));
    }
}
