//! What is kept of a message until its rows are applied, and the columns that are made of it.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, ListBuilder, StringBuilder, StructBuilder,
    TimestampMillisecondArray,
};
use millpond_engine::streams::MetadataColumn;
use millpond_proto::stream::{DeadLetter, Header};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

/// See the module.
#[derive(Debug, Default, Clone)]
pub(super) struct Pushed {
    pub(super) offset: i64,
    timestamp: Option<i64>,
    /// Only if the table has it as a column.
    key: Option<Vec<u8>>,
    /// Only if the table has them as a column.
    headers: Vec<Header>,
}

impl Pushed {
    /// Of a message, for a table with such columns.
    pub(super) fn of(message: &BorrowedMessage<'_>, columns: &[MetadataColumn]) -> Self {
        let key = message.key().filter(|_| columns.contains(&MetadataColumn::Key));
        let headers = match columns.contains(&MetadataColumn::Headers) {
            true => headers_of(message),
            false => Vec::new(),
        };
        Self {
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: key.map(<[u8]>::to_vec),
            headers,
        }
    }

    /// Of a message that was kept as a letter.
    pub(super) fn of_letter(letter: &DeadLetter) -> Self {
        Self {
            offset: letter.offset.cast_signed(),
            timestamp: (letter.timestamp_ms > 0).then(|| letter.timestamp_ms.cast_signed()),
            key: letter.key.clone(),
            headers: letter.headers.clone(),
        }
    }

    /// A column about the messages of rows, of topic partition `number`.
    pub(super) fn column(column: MetadataColumn, number: u32, rows: &[&Self]) -> ArrayRef {
        match column {
            MetadataColumn::Partition => Arc::new(Int32Array::from(vec![number.cast_signed(); rows.len()])),
            MetadataColumn::Offset => {
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.offset)))
            }
            MetadataColumn::Timestamp => {
                let times: TimestampMillisecondArray = rows.iter().map(|row| row.timestamp).collect();
                Arc::new(times.with_timezone("UTC"))
            }
            MetadataColumn::Key => {
                let mut keys = BinaryBuilder::new();
                rows.iter().for_each(|row| keys.append_option(row.key.as_deref()));
                Arc::new(keys.finish())
            }
            MetadataColumn::Headers => Self::headers(rows),
        }
    }

    fn headers(rows: &[&Self]) -> ArrayRef {
        let (names, values) = (StringBuilder::new(), BinaryBuilder::new());
        let fields = MetadataColumn::header_fields();
        let mut lists = ListBuilder::new(StructBuilder::new(
            fields,
            vec![Box::new(names), Box::new(values)],
        ));
        for row in rows {
            let list = lists.values();
            for header in &row.headers {
                if let Some(names) = list.field_builder::<StringBuilder>(0) {
                    names.append_value(&header.key);
                }
                if let Some(values) = list.field_builder::<BinaryBuilder>(1) {
                    values.append_option(header.value.as_deref());
                }
                list.append(true);
            }
            lists.append(true);
        }
        Arc::new(lists.finish())
    }
}

/// All headers of a message.
pub(super) fn headers_of(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let headers = message.headers();
    let headers = headers.into_iter().flat_map(|headers| headers.iter());
    headers
        .map(|header| Header {
            key: header.key.to_string(),
            value: header.value.map(<[u8]>::to_vec),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Array;

    use super::*;

    #[test]
    fn headers_are_a_list_of_names_and_values() {
        let header = |key: &str, value: Option<&[u8]>| Header {
            key: key.to_string(),
            value: value.map(<[u8]>::to_vec),
        };
        let two = Pushed {
            headers: vec![header("trace", Some(b"7")), header("trace", None)],
            ..Pushed::default()
        };
        let column = Pushed::column(MetadataColumn::Headers, 0, &[&two, &Pushed::default()]);
        assert_eq!(column.data_type(), MetadataColumn::Headers.field().data_type());
        let text = |row| datafusion::arrow::util::display::array_value_to_string(&column, row).unwrap();
        assert_eq!(
            (text(0).as_str(), text(1).as_str()),
            ("[{key: trace, value: 37}, {key: trace, value: }]", "[]")
        );
    }
}
