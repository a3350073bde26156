//! SQL expressions that people write over the columns of a pipeline.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, visit_expressions_mut};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::chain::{Chain, Id};
use crate::mistake::Mistake;
use crate::spec::Name;
use crate::sql;

/// An expression over cells.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) sql: String,
    pub(crate) refs: Vec<Id>,
}

/// Reads an expression; its names are those of the columns that there are.
///
/// # Errors
/// No expression, a name that is none of them, and a query inside.
pub(crate) fn read(text: &Name, chain: &Chain) -> Result<Expression, Mistake> {
    let mut expr =
        parse(text).map_err(|error| text.mistake(format!("'{}' is no SQL expression: {error}", **text)))?;
    let columns = chain.columns();
    let mut refs = Vec::new();
    let walked = visit_expressions_mut(&mut expr, |expr| match expr {
        Expr::Identifier(ident) => match crate::spec::find(&ident.value, &columns) {
            Ok(place) => {
                let id = chain.visible()[place].1;
                refs.push(id);
                let cell = chain.sql(id);
                // Without the quotes, which it puts there again.
                let bare = cell[1..cell.len() - 1].replace("\"\"", "\"");
                *ident = Ident::with_quote('"', bare);
                ControlFlow::Continue(())
            }
            Err((what, hint)) => ControlFlow::Break(text.mistake(what).hint(hint)),
        },
        Expr::CompoundIdentifier(_) => ControlFlow::Break(
            text.mistake(format!("'{expr}' has a dot"))
                .hint("write the name of the column alone, between double quotes if it has a dot itself"),
        ),
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => ControlFlow::Break(
            text.mistake(format!("'{expr}' is a query"))
                .hint("an expression is about one row; make the query the source of the pipeline"),
        ),
        _ => ControlFlow::Continue(()),
    });
    match walked {
        ControlFlow::Break(mistake) => Err(mistake),
        ControlFlow::Continue(()) => Ok(Expression {
            sql: format!("({expr})"),
            refs,
        }),
    }
}

fn parse(text: &str) -> Result<Expr, String> {
    let mut parser = Parser::new(&GenericDialect {})
        .try_with_sql(text)
        .map_err(|error| error.to_string())?;
    let expr = parser.parse_expr().map_err(|error| error.to_string())?;
    match parser.next_token().token {
        Token::EOF => Ok(expr),
        other => Err(format!("'{other}' is too much")),
    }
}

/// A regular expression as SQL, which the engine reads.
pub(crate) fn pattern(text: &str) -> String {
    sql::text(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{Column, Kind};
    use crate::spec::Spec;
    use crate::spec::Step;

    fn name(text: &str) -> Name {
        let yaml = format!(
            "name: p\nsource: {{table: t}}\nsteps: [{{filter: {}}}]",
            serde_json::Value::from(text)
        );
        match Spec::parse(&yaml).unwrap().steps[0].value.clone() {
            Step::Filter(name) => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_become_cells() {
        let columns = ["Income", "my age"].map(|name| Column {
            name: name.to_owned(),
            kind: Kind::Integer,
        });
        let chain = Chain::new("t", &columns);
        let read = |text: &str| super::read(&name(text), &chain);
        let expression = read(r#"coalesce(income, 0) > "my age" AND Income IN (1, 2)"#).unwrap();
        assert_eq!(
            expression.sql,
            r#"(coalesce("Income__0", 0) > "my age__1" AND "Income__0" IN (1, 2))"#
        );
        assert_eq!(expression.refs.len(), 3);
        for (text, said) in [
            ("incom + 1", "did you mean 'Income'?"),
            ("income +", "no SQL expression"),
            ("income 1", "too much"),
            ("t.income", "has a dot"),
            ("income > (SELECT 1)", "is a query"),
        ] {
            let mistake = read(text).unwrap_err().to_string();
            assert!(mistake.contains(said), "{text}: {mistake}");
        }
    }
}
