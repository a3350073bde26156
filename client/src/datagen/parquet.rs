//! Rows as Arrow columns and as a Parquet file.
//!
//! `Income` and `Dt_Customer` are text there too: a typed column could not hold their dirt.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;

use super::csv::push_income;
use super::customer::{COLUMNS, Customer, Income, NUMBERS_AFTER_DATE};

/// Rows of a row group: small enough that several readers share a file of a million rows.
const ROW_GROUP_ROWS: usize = 128 << 10;

const TEXT_COLUMNS: [&str; 4] = ["Education", "Marital_Status", "Income", "Dt_Customer"];

/// Columns of the file. Only `Income` has missing values.
pub(super) fn schema() -> SchemaRef {
    let field = |name: &str| {
        let data_type = if TEXT_COLUMNS.contains(&name) {
            DataType::Utf8
        } else {
            DataType::Int32
        };
        Field::new(name, data_type, name == "Income")
    };
    Arc::new(Schema::new(COLUMNS.map(field).to_vec()))
}

/// Opens a file for batches of [`schema`].
///
/// # Errors
/// The target cannot be written.
pub(super) fn open<W: Write + Send>(target: W) -> Result<ArrowWriter<W>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    ArrowWriter::try_new(target, schema(), Some(properties))
}

/// Columns of a block of rows.
///
/// # Errors
/// None in practice: the columns are those of [`schema`].
pub(super) fn batch(rows: &[Customer]) -> std::result::Result<RecordBatch, ArrowError> {
    let mut columns: Vec<ArrayRef> = vec![
        numbers(rows, |row| row.id),
        numbers(rows, |row| u32::from(row.year_birth)),
        texts(rows, |row| row.education),
        texts(rows, |row| row.marital_status),
        Arc::new(
            rows.iter()
                .map(|row| income_text(row.income))
                .collect::<StringArray>(),
        ),
        numbers(rows, |row| u32::from(row.kids)),
        numbers(rows, |row| u32::from(row.teens)),
        texts(rows, |row| row.enrolment_date()),
    ];
    let after_date: Vec<_> = rows.iter().map(Customer::numbers_after_date).collect();
    columns.extend((0..NUMBERS_AFTER_DATE).map(|column| {
        let values = after_date.iter().map(|numbers| numbers[column] as i32);
        Arc::new(Int32Array::from_iter_values(values)) as ArrayRef
    }));
    RecordBatch::try_new(schema(), columns)
}

fn numbers(rows: &[Customer], value: impl Fn(&Customer) -> u32) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(
        rows.iter().map(|row| value(row) as i32),
    ))
}

fn texts(rows: &[Customer], value: impl Fn(&Customer) -> &'static str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(value)))
}

fn income_text(income: Income) -> Option<String> {
    let mut text = Vec::new();
    push_income(&mut text, income);
    String::from_utf8(text).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::super::data_set::DataSet;
    use super::*;

    #[test]
    fn file_holds_the_rows_of_the_text() {
        let rows = DataSet { rows: 500, seed: 3 }.block(0);
        let file = tempfile::tempfile().unwrap();
        let mut writer = open(file.try_clone().unwrap()).unwrap();
        writer.write(&batch(&rows).unwrap()).unwrap();
        writer.close().unwrap();

        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        let read: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
        let read = arrow::compute::concat_batches(&schema(), &read).unwrap();
        assert_eq!(read.num_rows(), rows.len());
        let text = String::from_utf8(super::super::csv::lines(&rows)).unwrap();
        let columns: Vec<_> = read
            .columns()
            .iter()
            .map(|column| arrow::compute::cast(column, &DataType::Utf8).unwrap())
            .collect();
        for (row, line) in text.lines().enumerate() {
            let fields = columns.iter().map(|column| {
                if column.is_null(row) {
                    ""
                } else {
                    column.as_string::<i32>().value(row)
                }
            });
            assert_eq!(fields.collect::<Vec<_>>(), line.split('\t').collect::<Vec<_>>());
        }
    }
}
