//! Opens the writer of one result.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::format::Format;
use super::{binary, delimited, expanded, json, markdown, table};

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or pipe.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The format cannot hold the rows.
    #[error("{0}")]
    Format(String),
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, source) => Self::Io(source),
            other => Self::Format(other.to_string()),
        }
    }
}

impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(cause) => match cause.downcast::<io::Error>() {
                Ok(source) => Self::Io(*source),
                Err(cause) => Self::Format(cause.to_string()),
            },
            other => Self::Format(other.to_string()),
        }
    }
}

/// Writes the rows of one result.
pub trait Writer: Send {
    /// Writes a batch, which has the columns the writer was opened for.
    ///
    /// # Errors
    /// The target, or a value that the format cannot hold.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error>;

    /// Writes what belongs at the end, and flushes.
    ///
    /// # Errors
    /// The target.
    fn finish(&mut self) -> Result<(), Error>;
}

/// How rows are laid out, beyond their format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The format.
    pub format: Format,
    /// One line per value instead of one per row; for [`Format::Table`] only.
    pub expanded: bool,
    /// The target is a file that can be read from its end, not a pipe.
    pub to_file: bool,
}

/// Opens the writer of one result.
///
/// # Errors
/// The target, or columns that the format cannot hold.
pub fn open<'a>(
    layout: Layout,
    schema: &SchemaRef,
    out: impl Write + Send + 'a,
) -> Result<Box<dyn Writer + 'a>, Error> {
    Ok(match layout.format {
        Format::Table if layout.expanded => Box::new(expanded::Expanded::new(schema, out)),
        Format::Table => Box::new(table::Table::new(schema, out)),
        Format::Markdown => Box::new(markdown::Markdown::new(schema, out)),
        Format::Csv => Box::new(delimited::Delimited::new(b',', schema, out)?),
        Format::Tsv => Box::new(delimited::Delimited::new(b'\t', schema, out)?),
        Format::Json => Box::new(json::Array::new(out)),
        Format::Ndjson => Box::new(json::Lines::new(out)),
        Format::Arrow if layout.to_file => Box::new(binary::ArrowFile::new(schema, out)?),
        Format::Arrow => Box::new(binary::ArrowStream::new(schema, out)?),
        Format::Parquet => Box::new(binary::Parquet::new(schema, out)?),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    /// Two batches of three rows, with everything that is awkward.
    pub(crate) fn sample() -> Vec<RecordBatch> {
        let batch = |n: Vec<Option<i64>>, x: Vec<f64>, s: Vec<Option<&str>>| {
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("n", Arc::new(Int64Array::from(n))),
                ("x", Arc::new(Float64Array::from(x))),
                ("s", Arc::new(StringArray::from(s))),
            ];
            RecordBatch::try_from_iter_with_nullable(
                columns.into_iter().map(|(name, column)| (name, column, true)),
            )
            .unwrap()
        };
        vec![
            batch(
                vec![Some(1), None],
                vec![1.5, f64::NAN],
                vec![Some("a,\"b\""), Some("tab\tä")],
            ),
            batch(vec![Some(-30)], vec![1e300], vec![None]),
        ]
    }

    /// What a format makes of batches.
    pub(crate) fn written(layout: Layout, schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = open(layout, schema, &mut bytes).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        writer.finish().unwrap();
        drop(writer);
        bytes
    }

    fn layout(format: Format) -> Layout {
        Layout {
            format,
            expanded: false,
            to_file: false,
        }
    }

    fn check(layout: Layout, expected: &str) {
        let batches = sample();
        let bytes = written(layout, &batches[0].schema(), &batches);
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    fn check_empty(layout: Layout, expected: &str) {
        let bytes = written(layout, &sample()[0].schema(), &[]);
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn csv_quotes_what_needs_quotes() {
        check(
            layout(Format::Csv),
            "n,x,s\n1,1.5,\"a,\"\"b\"\"\"\n,NaN,tab\tä\n-30,1e300,\n",
        );
        check_empty(layout(Format::Csv), "n,x,s\n");
    }

    #[test]
    fn tsv_quotes_tabs() {
        check(
            layout(Format::Tsv),
            "n\tx\ts\n1\t1.5\t\"a,\"\"b\"\"\"\n\tNaN\t\"tab\tä\"\n-30\t1e300\t\n",
        );
    }

    #[test]
    fn json_is_one_array_and_keeps_nulls() {
        check(
            layout(Format::Json),
            "[{\"n\":1,\"x\":1.5,\"s\":\"a,\\\"b\\\"\"},\n{\"n\":null,\"x\":null,\"s\":\"tab\\tä\"},\n\
             {\"n\":-30,\"x\":1.0e300,\"s\":null}]\n",
        );
        check_empty(layout(Format::Json), "[]\n");
    }

    #[test]
    fn ndjson_is_one_object_per_line() {
        check(
            layout(Format::Ndjson),
            "{\"n\":1,\"x\":1.5,\"s\":\"a,\\\"b\\\"\"}\n{\"n\":null,\"x\":null,\"s\":\"tab\\tä\"}\n\
             {\"n\":-30,\"x\":1.0e300,\"s\":null}\n",
        );
        check_empty(layout(Format::Ndjson), "");
    }

    #[test]
    fn table_aligns_numbers_right_and_text_left() {
        check(
            layout(Format::Table),
            "+------+-------+--------+\n\
             | n    | x     | s      |\n\
             +------+-------+--------+\n\
             |    1 |   1.5 | a,\"b\"  |\n\
             | NULL |   NaN | tab\\tä |\n\
             |  -30 | 1e300 | NULL   |\n\
             +------+-------+--------+\n",
        );
        check_empty(
            layout(Format::Table),
            "+---+---+---+\n| n | x | s |\n+---+---+---+\n+---+---+---+\n",
        );
    }

    #[test]
    fn markdown_escapes_bars() {
        check(
            layout(Format::Markdown),
            "| n | x | s |\n| ---: | ---: | --- |\n| 1 | 1.5 | a,\"b\" |\n| NULL | NaN | tab\\tä |\n| -30 | 1e300 | NULL |\n",
        );
    }

    #[test]
    fn expanded_has_one_line_per_value() {
        let expanded = Layout {
            expanded: true,
            ..layout(Format::Table)
        };
        check(
            expanded,
            "-[ row 1 ]-\nn | 1\nx | 1.5\ns | a,\"b\"\n-[ row 2 ]-\nn | NULL\nx | NaN\ns | tab\\tä\n\
             -[ row 3 ]-\nn | -30\nx | 1e300\ns | NULL\n",
        );
    }

    #[test]
    fn arrow_and_parquet_are_read_back_equal() {
        let batches = sample();
        let schema = batches[0].schema();
        let expected = arrow::compute::concat_batches(&schema, &batches).unwrap();
        let same = |read: Vec<RecordBatch>| {
            let read = arrow::compute::concat_batches(&schema, &read).unwrap();
            // NaN is not equal to itself, so the columns are compared as text.
            assert_eq!(format!("{read:?}"), format!("{expected:?}"));
        };
        let stream = written(layout(Format::Arrow), &schema, &batches);
        let reader = arrow::ipc::reader::StreamReader::try_new(stream.as_slice(), None).unwrap();
        same(reader.map(Result::unwrap).collect());
        let file = written(
            Layout {
                to_file: true,
                ..layout(Format::Arrow)
            },
            &schema,
            &batches,
        );
        let reader = arrow::ipc::reader::FileReader::try_new(io::Cursor::new(file), None).unwrap();
        same(reader.map(Result::unwrap).collect());
        let parquet = bytes::Bytes::from(written(layout(Format::Parquet), &schema, &batches));
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(parquet, 100).unwrap();
        same(reader.map(Result::unwrap).collect());
    }

    #[test]
    fn nested_values_are_text_in_csv() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let batch = RecordBatch::try_from_iter([("l", Arc::new(lists) as ArrayRef)]).unwrap();
        let bytes = written(layout(Format::Csv), &batch.schema(), &[batch]);
        assert_eq!(String::from_utf8(bytes).unwrap(), "l\n\"[1, ]\"\n\"\"\n");
    }
}
