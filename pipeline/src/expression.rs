//! SQL expressions that people write over the columns of a pipeline.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Ident, Value, visit_expressions, visit_expressions_mut};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use crate::chain::{Chain, Id};
use crate::compile::Compiler;
use crate::kind::{Column, Kind};
use crate::mistake::Mistake;
use crate::spec::Name;
use crate::sql;

/// Functions of the engine that make one value of several rows.
const AGGREGATES: &str = "any_value approx_distinct approx_median approx_percentile_cont approx_percentile_cont_with_weight \
    array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar covar_pop covar_samp \
    first_value grouping last_value max mean median min mode nth_value percentile_cont quantile_cont \
    regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev \
    stddev_pop stddev_samp string_agg sum var var_pop var_population var_samp var_sample variance";

/// Operators in one expression: a deeper tree could exhaust a stack.
const OPERATORS_MAX: usize = 4_000;

/// An expression over cells.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) sql: String,
    pub(crate) refs: Vec<Id>,
}

/// Reads an expression; its names are those of the columns that there are.
///
/// # Errors
/// No expression, a name that is none of them, and what is not about one row.
pub(crate) fn read(text: &Name, chain: &Chain) -> Result<Expression, Mistake> {
    let mut expr =
        parse(text).map_err(|error| text.mistake(format!("'{}' is no SQL expression: {error}", **text)))?;
    let columns = chain.columns();
    let looked_at = visit_expressions(&expr, |expr| match refused(expr, &columns) {
        Some((what, hint)) => ControlFlow::Break(text.mistake(what).hint(hint)),
        None => ControlFlow::Continue(()),
    });
    if let ControlFlow::Break(mistake) = looked_at {
        return Err(mistake);
    }
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

/// As [`read`], of an expression that is true or false.
///
/// # Errors
/// Also an expression of another kind.
pub(crate) fn read_condition(text: &Name, on: &mut Compiler<'_>) -> Result<Expression, Mistake> {
    let expression = read(text, &on.chain).map_err(|mistake| Mistake {
        what: format!("{}: {}", on.word(), mistake.what),
        ..mistake
    })?;
    match on.kind_of("condition", &expression.refs, &expression.sql) {
        Some(Kind::Boolean) | None => Ok(expression),
        Some(kind) => Err(text
            .mistake(format!("{}: '{}' is {kind}, and no condition", on.word(), **text))
            .hint("write what is true or false, such as a > 0 or a IS NOT NULL")),
    }
}

/// What an expression over the columns of a row cannot have, and what to do.
fn refused(expr: &Expr, columns: &[Column]) -> Option<(String, String)> {
    const ONE_ROW: &str = "an expression is about one row; make the query the source of the pipeline";
    match expr {
        Expr::CompoundIdentifier(_) => Some((
            format!("'{expr}' has a dot"),
            "write the name of the column alone, between double quotes if it has a dot itself".to_owned(),
        )),
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
            Some((format!("'{expr}' is a query"), ONE_ROW.to_owned()))
        }
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            let is_of_rows = function.over.is_some() || AGGREGATES.split(' ').any(|known| known == name);
            is_of_rows.then(|| (format!("'{expr}' is about several rows"), ONE_ROW.to_owned()))
        }
        Expr::BinaryOp { left, op, right } if is_comparison(op) => {
            let (column, number) = match (left.as_ref(), right.as_ref()) {
                (Expr::Identifier(column), Expr::Value(value))
                | (Expr::Value(value), Expr::Identifier(column)) => (&column.value, &value.value),
                _ => return None,
            };
            let place = crate::spec::find(column, columns).ok()?;
            let is_wrong = columns[place].kind == Kind::Text && matches!(number, Value::Number(..));
            is_wrong.then(|| {
                (
                    format!("'{expr}' compares a number with '{column}', which is text"),
                    "cast the column first, or write the number between quotes".to_owned(),
                )
            })
        }
        _ => None,
    }
}

/// True for operators, and false for values, names and lists of these.
fn may_deepen(token: &Token) -> bool {
    const WORDS: [Keyword; 10] = [
        Keyword::AND,
        Keyword::OR,
        Keyword::NOT,
        Keyword::IS,
        Keyword::IN,
        Keyword::LIKE,
        Keyword::ILIKE,
        Keyword::BETWEEN,
        Keyword::COLLATE,
        Keyword::CASE,
    ];
    match token {
        Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_) => false,
        Token::LParen | Token::RParen => false,
        Token::Word(word) => WORDS.contains(&word.keyword),
        _ => true,
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn parse(text: &str) -> Result<Expr, String> {
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize()
        .map_err(|error| error.to_string())?;
    let operators = tokens.iter().filter(|token| may_deepen(token)).count();
    if operators > OPERATORS_MAX {
        return Err(format!(
            "it has {operators} operators, the limit is {OPERATORS_MAX}"
        ));
    }
    let mut parser = Parser::new(&GenericDialect {}).with_tokens(tokens);
    let expr = parser.parse_expr().map_err(|error| error.to_string())?;
    match parser.next_token().token {
        Token::EOF => Ok(expr),
        other => Err(format!("'{other}' is too much")),
    }
}

/// A regular expression as SQL; the engine reads it with the same crate.
///
/// # Errors
/// None.
pub(crate) fn pattern(text: &Name, on: &Compiler<'_>) -> Result<String, Mistake> {
    match regex::Regex::new(text) {
        Ok(_) => Ok(sql::text(text)),
        Err(error) => {
            // The lines before show it again.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            let why = why.strip_prefix("error: ").unwrap_or(why);
            Err(text.mistake(format!(
                "{}: '{}' is no regular expression: {why}",
                on.word(),
                **text
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let kinds = [Kind::Integer, Kind::Integer, Kind::Text];
        let columns: Vec<Column> = ["Income", "my age", "city"]
            .into_iter()
            .zip(kinds)
            .map(|(name, kind)| Column {
                name: name.to_owned(),
                kind,
            })
            .collect();
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
            ("sum(income)", "'sum(income)' is about several rows"),
            (
                "1 + row_number() OVER ()",
                "'row_number() OVER ()' is about several rows",
            ),
            (
                "city > 5",
                "'city > 5' compares a number with 'city', which is text",
            ),
        ] {
            let mistake = read(text).unwrap_err().to_string();
            assert!(mistake.contains(said), "{text}: {mistake}");
        }
    }
}
