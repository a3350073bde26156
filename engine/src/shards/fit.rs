//! Rows that somebody else has made, as rows of a table: columns are found by their names, values are cast.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::config::nearest;
use crate::error::{Code, Error};

/// Text that is no number is an error, and not null.
const CAST: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: datafusion::arrow::util::display::FormatOptions::new(),
};

/// How the columns of a stream become those of a table.
#[derive(Debug, Clone)]
pub struct Fitting {
    /// Columns of the table. All may be null here: NOT NULL is for the sink, which says it better.
    columns: SchemaRef,
    /// For each of them its place in the stream.
    places: Vec<Option<usize>>,
}

impl Fitting {
    /// Finds every column of `source` in `target`. One that only the table has is null; `table` names it in errors.
    ///
    /// # Errors
    /// A column that the table does not have, or has with a type of another kind, and one that must have a value and is
    /// not there. The error names the column.
    pub fn new(table: &str, source: &Schema, target: &SchemaRef) -> Result<Self, Error> {
        let mut places = vec![None; target.fields().len()];
        for (place, field) in source.fields().iter().enumerate() {
            let found = target
                .fields()
                .iter()
                .position(|column| column.name() == field.name());
            let column = found.ok_or_else(|| unknown(table, field.name(), target))?;
            if places[column].replace(place).is_some() {
                return Err(Error::user(
                    Code::INVALID_STATEMENT,
                    format!("the rows have two columns '{}'", field.name()),
                ));
            }
            check_type(table, field, target.field(column))?;
        }
        for (place, column) in places.iter().zip(target.fields()) {
            if place.is_none() && !column.is_nullable() {
                return Err(Error::user(
                    Code::TYPE_MISMATCH,
                    format!(
                        "the rows have no column '{}', which is NOT NULL in {table}",
                        column.name()
                    ),
                )
                .with_hint("send the column too"));
            }
        }
        let nullable = target
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true));
        Ok(Self {
            columns: Arc::new(Schema::new(nullable.collect::<Vec<_>>())),
            places,
        })
    }

    /// Columns of the fitted batches: those of the table, and all may be null.
    pub fn schema(&self) -> &SchemaRef {
        &self.columns
    }

    /// Gives a batch of the stream the columns of the table.
    ///
    /// # Errors
    /// A value that its column cannot hold.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let columns = self.places.iter().zip(self.columns.fields());
        let columns: Vec<ArrayRef> = columns
            .map(|(place, field)| match place {
                Some(place) => cast(batch.column(*place), field),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            })
            .collect::<Result<_, _>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.columns.clone(), columns, &rows)
            .map_err(|error| Error::bug(error.to_string()))
    }
}

/// The columns of a table that is made for a stream: without dictionaries, which belong to the stream.
///
/// # Errors
/// No column, or two of one name.
pub fn plain_schema(source: &Schema) -> Result<Schema, Error> {
    if source.fields().is_empty() {
        return Err(Error::user(Code::INVALID_STATEMENT, "the rows have no columns"));
    }
    let target = Arc::new(Schema::new(
        source
            .fields()
            .iter()
            .map(|field| {
                field
                    .as_ref()
                    .clone()
                    .with_data_type(plain(field.data_type()).clone())
            })
            .collect::<Vec<_>>(),
    ));
    // Finds names that occur twice.
    Fitting::new("the table", source, &target)?;
    Ok(target.as_ref().clone())
}

fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        other => other,
    }
}

fn cast(column: &ArrayRef, field: &Field) -> Result<ArrayRef, Error> {
    if column.data_type() == field.data_type() {
        return Ok(column.clone());
    }
    cast_with_options(column, field.data_type(), &CAST).map_err(|error| {
        Error::user(
            Code::TYPE_MISMATCH,
            format!("column '{}' cannot hold a value of the rows", field.name()),
        )
        .with_detail(error.to_string())
        .with_hint(format!("its type is {}", field.data_type()))
    })
}

fn unknown(table: &str, name: &str, target: &Schema) -> Error {
    let names = || target.fields().iter().map(|field| field.name().as_str());
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean '{near}'? Columns are found by their names"),
        None => format!("its columns are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Error::user(
        Code::UNKNOWN_COLUMN,
        format!("table {table} has no column '{name}'"),
    )
    .with_hint(hint)
}

fn check_type(table: &str, source: &Field, target: &Field) -> Result<(), Error> {
    let (from, to) = (plain(source.data_type()), target.data_type());
    if from == to || (is_kept(Kind::of(from), Kind::of(to)) && can_cast_types(from, to)) {
        return Ok(());
    }
    Err(Error::user(
        Code::TYPE_MISMATCH,
        format!(
            "column '{}' of table {table} is {to}, and the rows have {from}",
            target.name()
        ),
    )
    .with_hint("convert the column before you send it"))
}

/// Types between which values keep their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Integer,
    Decimal,
    Float,
    Text,
    Binary,
    Date,
    Timestamp,
    Time,
    Duration,
    Interval,
    List,
    Other,
}

impl Kind {
    fn of(data_type: &DataType) -> Self {
        use DataType::*;
        match data_type {
            Null => Self::Null,
            Boolean => Self::Boolean,
            other if other.is_integer() => Self::Integer,
            other if other.is_floating() => Self::Float,
            Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => Self::Decimal,
            Utf8 | LargeUtf8 | Utf8View => Self::Text,
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Self::Binary,
            Date32 | Date64 => Self::Date,
            Timestamp(..) => Self::Timestamp,
            Time32(_) | Time64(_) => Self::Time,
            Duration(_) => Self::Duration,
            Interval(_) => Self::Interval,
            List(_) | LargeList(_) | FixedSizeList(..) | ListView(_) | LargeListView(_) => Self::List,
            _ => Self::Other,
        }
    }
}

/// Whether values of one kind can be kept in a column of another. What does not fit in size is found when it is cast.
fn is_kept(from: Kind, to: Kind) -> bool {
    use Kind::{Date, Decimal, Float, Integer, Null, Other, Timestamp};
    match (from, to) {
        (Null, _) | (Integer, Decimal | Float) | (Decimal, Float) | (Date, Timestamp) => true,
        (Other, Other) => false,
        (from, to) => from == to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        Array, AsArray, DictionaryArray, Float64Array, Int32Array, Int64Array, StringArray,
    };
    use datafusion::arrow::datatypes::{Int8Type, Int32Type, Int64Type};

    fn table() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int32, false),
            Field::new("name", DataType::Utf8View, true),
            Field::new("score", DataType::Float64, true),
        ]))
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        )
        .unwrap()
    }

    fn fitted(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, Error> {
        let batch = batch(columns);
        Fitting::new("t", &batch.schema(), &table())?.apply(&batch)
    }

    #[test]
    fn columns_are_found_by_name_cast_and_filled_with_nulls() {
        let names: DictionaryArray<Int8Type> = ["a", "b"].into_iter().collect();
        let fitted = fitted(vec![
            ("name", Arc::new(names)),
            ("id", Arc::new(Int64Array::from(vec![1, 2]))),
        ])
        .unwrap();
        assert_eq!(fitted.column(0).as_primitive::<Int32Type>().values(), &[1, 2]);
        assert_eq!(fitted.column(1).as_string_view().value(1), "b");
        assert_eq!(fitted.column(2).null_count(), 2);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let ids = || Arc::new(Int32Array::from(vec![1])) as ArrayRef;
        let texts = || Arc::new(StringArray::from(vec!["1"])) as ArrayRef;
        for (columns, code, part) in [
            (vec![("id", texts())], Code::TYPE_MISMATCH, "'id'"),
            (vec![("name", texts())], Code::TYPE_MISMATCH, "'id'"),
            (
                vec![("id", ids()), ("names", texts())],
                Code::UNKNOWN_COLUMN,
                "'name'",
            ),
            (
                vec![("id", ids()), ("id", ids())],
                Code::INVALID_STATEMENT,
                "'id'",
            ),
            (
                vec![("id", Arc::new(Float64Array::from(vec![1.5])))],
                Code::TYPE_MISMATCH,
                "Float64",
            ),
            (
                vec![("id", Arc::new(Int64Array::from(vec![1 << 40])))],
                Code::TYPE_MISMATCH,
                "'id'",
            ),
        ] {
            let error = fitted(columns).unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert!(error.user_text().contains(part), "{}", error.user_text());
        }
    }

    #[test]
    fn a_new_table_has_values_instead_of_dictionaries() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let field = |name: &str| Field::new(name, dictionary.clone(), true);
        let plain = plain_schema(&Schema::new(vec![field("a")])).unwrap();
        assert_eq!(plain.field(0).data_type(), &DataType::Utf8);
        assert!(plain_schema(&Schema::new(vec![field("a"), field("a")])).is_err());
        assert!(plain_schema(&Schema::empty()).is_err());
    }

    #[test]
    fn integers_become_numbers_of_other_kinds() {
        let target = Arc::new(Schema::new(vec![Field::new(
            "n",
            DataType::Decimal128(12, 2),
            true,
        )]));
        let rows = batch(vec![("n", Arc::new(Int64Array::from(vec![3])))]);
        let fitted = Fitting::new("t", &rows.schema(), &target)
            .unwrap()
            .apply(&rows)
            .unwrap();
        assert_eq!(fitted.column(0).data_type(), &DataType::Decimal128(12, 2));
        let back = cast_with_options(fitted.column(0), &DataType::Int64, &CAST).unwrap();
        assert_eq!(back.as_primitive::<Int64Type>().value(0), 3);
    }
}
