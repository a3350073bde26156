//! `SUMMARIZE`: what is in the columns of a table or query, one row for each.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millpond_engine::error::Error;
use millpond_pipeline::profile::{ColumnProfile, Numbers, Profile, Texts};

use crate::statement::result::ResultSet;

/// How a column of the answer is made.
enum Cell {
    Text(fn(&ColumnProfile) -> Option<String>),
    Count(fn(&ColumnProfile) -> Option<u64>),
    Number(fn(&Numbers) -> f64),
    OfTexts(fn(&Texts) -> u64),
    /// Of the whole table too.
    Whole(fn(&Profile) -> u64),
    /// The share of rows without a value.
    NullShare,
    /// Whether it could be the key.
    Key,
}

const COLUMNS: [(&str, Cell); 23] = [
    ("column_name", Cell::Text(|column| Some(column.name.clone()))),
    ("kind", Cell::Text(|column| Some(column.kind.to_string()))),
    ("rows", Cell::Whole(|profile| profile.rows)),
    ("nulls", Cell::Count(|column| Some(column.nulls))),
    ("null_share", Cell::NullShare),
    ("distinct", Cell::Count(|column| Some(column.distinct))),
    (
        "min",
        Cell::Text(|column| column.range.clone().map(|(least, _)| least)),
    ),
    (
        "max",
        Cell::Text(|column| column.range.clone().map(|(_, greatest)| greatest)),
    ),
    ("mean", Cell::Number(|numbers| numbers.mean)),
    ("std", Cell::Number(|numbers| numbers.deviation)),
    ("q25", Cell::Number(|numbers| numbers.quartiles[0])),
    ("q50", Cell::Number(|numbers| numbers.quartiles[1])),
    ("q75", Cell::Number(|numbers| numbers.quartiles[2])),
    ("skew", Cell::Number(|numbers| numbers.skew)),
    (
        "outliers",
        Cell::Count(|column| column.numbers.map(|numbers| numbers.outliers)),
    ),
    ("top", Cell::Text(top)),
    ("blanks", Cell::OfTexts(|texts| texts.blanks)),
    ("untrimmed", Cell::OfTexts(|texts| texts.untrimmed)),
    ("numbers_in_text", Cell::OfTexts(Texts::any_numbers)),
    (
        "dates_in_text",
        Cell::OfTexts(|texts| texts.dates().map_or(0, |(count, _)| count)),
    ),
    ("date_format", Cell::Text(date_format)),
    ("is_key", Cell::Key),
    ("duplicate_rows", Cell::Whole(|profile| profile.duplicates)),
];

/// Columns of the answer.
pub(super) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let field = |(name, cell): &(&str, Cell)| {
            let data_type = match cell {
                Cell::NullShare | Cell::Number(_) => DataType::Float64,
                Cell::Text(_) => DataType::Utf8,
                Cell::Count(_) | Cell::OfTexts(_) | Cell::Whole(_) => DataType::UInt64,
                Cell::Key => DataType::Boolean,
            };
            Field::new(*name, data_type, true)
        };
        Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
    });
    SCHEMA.clone()
}

/// The answer.
pub(super) fn result(profile: &Profile) -> Result<ResultSet, Error> {
    let all = &profile.columns;
    let column = |(_, cell): &(&str, Cell)| -> ArrayRef {
        match cell {
            Cell::NullShare => {
                let share = |column: &ColumnProfile| column.nulls as f64 / profile.rows.max(1) as f64;
                Arc::new(Float64Array::from_iter_values(all.iter().map(share)))
            }
            Cell::Text(of) => Arc::new(all.iter().map(of).collect::<StringArray>()),
            Cell::Count(of) => Arc::new(all.iter().map(of).collect::<UInt64Array>()),
            Cell::Number(of) => {
                let number = |column: &ColumnProfile| column.numbers.as_ref().map(of);
                Arc::new(all.iter().map(number).collect::<Float64Array>())
            }
            Cell::OfTexts(of) => {
                let count = |column: &ColumnProfile| column.texts.as_ref().map(of);
                Arc::new(all.iter().map(count).collect::<UInt64Array>())
            }
            Cell::Whole(of) => Arc::new(UInt64Array::from(vec![of(profile); all.len()])),
            Cell::Key => {
                let is_key = |column: &ColumnProfile| Some(column.is_key(profile.rows));
                Arc::new(all.iter().map(is_key).collect::<BooleanArray>())
            }
        }
    };
    let columns = COLUMNS.iter().map(column).collect();
    let batch = RecordBatch::try_new(schema(), columns);
    let batch = batch.map_err(|error| Error::from_datafusion(error.into()))?;
    Ok(ResultSet::batches(schema(), vec![batch]))
}

/// `a 12, b 7`.
fn top(column: &ColumnProfile) -> Option<String> {
    let values: Vec<String> = column
        .top
        .iter()
        .map(|(value, rows)| format!("{value} {rows}"))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn date_format(column: &ColumnProfile) -> Option<String> {
    column.texts?.dates().map(|(_, format)| format.to_string())
}
