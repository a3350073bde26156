//! Evaluates the SQL of formulas on a row, so that tests need no database. Numbers are as in DataFusion: `exp` overflows to
//! infinity, and NaN is greater than all numbers.

use std::cmp::Ordering;

use sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator,
    Value as Literal,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Struct(Vec<(String, Value)>),
}

impl Value {
    pub(super) fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }
}

/// The value of an expression. The parser goes no deeper than it does for users.
pub(super) fn evaluate(sql: &str, row: &[(&str, Value)]) -> Value {
    let expr = Parser::new(&GenericDialect)
        .try_with_sql(sql)
        .unwrap()
        .parse_expr()
        .unwrap();
    of(&expr, row)
}

fn of(expr: &Expr, row: &[(&str, Value)]) -> Value {
    match expr {
        Expr::Identifier(name) => {
            let column = row.iter().find(|(column, _)| *column == name.value);
            column.unwrap_or_else(|| panic!("no column {name}")).1.clone()
        }
        Expr::Value(value) => match &value.value {
            Literal::Number(number, _) => Value::Number(number.to_string().parse().unwrap()),
            Literal::SingleQuotedString(text) => Value::Text(text.clone()),
            Literal::Boolean(value) => Value::Boolean(*value),
            other => panic!("{other}"),
        },
        Expr::Nested(inner) => of(inner, row),
        Expr::Cast { expr, .. } => of(expr, row),
        Expr::IsNotNull(inner) => Value::Boolean(of(inner, row) != Value::Null),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match of(expr, row) {
            Value::Number(number) => Value::Number(-number),
            other => other,
        },
        Expr::BinaryOp { left, op, right } => binary(&of(left, row), op, &of(right, row)),
        Expr::Case {
            operand,
            conditions,
            else_result,
            ..
        } => {
            let operand = operand.as_ref().map(|operand| of(operand, row));
            let holds = |when: &&CaseWhen| match (&operand, of(&when.condition, row)) {
                (Some(operand), value) => *operand != Value::Null && *operand == value,
                (None, value) => value == Value::Boolean(true),
            };
            match conditions.iter().find(holds) {
                Some(when) => of(&when.result, row),
                None => else_result
                    .as_ref()
                    .map_or(Value::Null, |otherwise| of(otherwise, row)),
            }
        }
        Expr::Function(function) => call(function, row),
        other => panic!("{other}"),
    }
}

fn binary(left: &Value, op: &BinaryOperator, right: &Value) -> Value {
    match (left, op, right) {
        (Value::Boolean(false), BinaryOperator::And, _) | (_, BinaryOperator::And, Value::Boolean(false)) => {
            Value::Boolean(false)
        }
        (Value::Null, ..) | (_, _, Value::Null) => Value::Null,
        (Value::Boolean(_), BinaryOperator::And, Value::Boolean(_)) => Value::Boolean(true),
        (Value::Number(a), op, Value::Number(b)) => match op {
            BinaryOperator::Plus => Value::Number(a + b),
            BinaryOperator::Minus => Value::Number(a - b),
            BinaryOperator::Multiply => Value::Number(a * b),
            BinaryOperator::Divide => Value::Number(a / b),
            BinaryOperator::Gt => Value::Boolean(order(*a, *b) == Ordering::Greater),
            BinaryOperator::LtEq => Value::Boolean(order(*a, *b) != Ordering::Greater),
            BinaryOperator::Eq => Value::Boolean(a == b),
            other => panic!("{other}"),
        },
        (a, BinaryOperator::Eq, b) => Value::Boolean(a == b),
        other => panic!("{other:?}"),
    }
}

fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

fn call(function: &Function, row: &[(&str, Value)]) -> Value {
    let FunctionArguments::List(list) = &function.args else {
        panic!("{function}");
    };
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => of(expr, row),
        other => panic!("{other}"),
    };
    let arguments: Vec<Value> = list.args.iter().map(argument).collect();
    let numbers = || arguments.iter().map(Value::number);
    match function.name.to_string().as_str() {
        _ if arguments == [Value::Null] => Value::Null,
        "abs" => Value::Number(arguments[0].number().abs()),
        "exp" => Value::Number(arguments[0].number().exp()),
        "sqrt" => Value::Number(arguments[0].number().sqrt()),
        "greatest" => Value::Number(numbers().fold(f64::NEG_INFINITY, f64::max)),
        "least" => Value::Number(numbers().fold(f64::INFINITY, f64::min)),
        "model_usable" => {
            let is_usable =
                |value: &Value| matches!(value, Value::Number(number) if number.abs() <= crate::LARGEST);
            Value::Boolean(arguments.iter().all(is_usable))
        }
        "make_array" => Value::List(arguments),
        "array_position" => match &arguments[0] {
            Value::List(list) => {
                let place = list.iter().position(|value| *value == arguments[1]);
                place.map_or(Value::Null, |place| Value::Number(place as f64 + 1.0))
            }
            other => panic!("{other:?}"),
        },
        "named_struct" => {
            let field = |pair: &[Value]| match &pair[0] {
                Value::Text(name) => (name.clone(), pair[1].clone()),
                other => panic!("{other:?}"),
            };
            Value::Struct(arguments.chunks(2).map(field).collect())
        }
        other => panic!("{other}"),
    }
}
