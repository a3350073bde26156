//! Messages as rows, while they wait in an outbox.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, RecordBatch, TimestampMillisecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;

use crate::encode::Messages;

const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// Columns of such rows: what a message has, in the order of [`Messages`].
pub fn messages_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("key", DataType::Binary, true),
            Field::new("value", DataType::Binary, true),
            Field::new("timestamp", TIME, true),
        ]))
    });
    SCHEMA.clone()
}

/// A row for each message.
pub(super) fn as_rows(messages: Messages) -> Result<RecordBatch> {
    let times = match messages.timestamps {
        Some(times) => TimestampMillisecondArray::from(times),
        None => TimestampMillisecondArray::new_null(messages.values.len()),
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(messages.keys),
        Arc::new(messages.values),
        Arc::new(times),
    ];
    Ok(RecordBatch::try_new(messages_schema(), columns)?)
}

/// A message for each row.
pub(super) fn as_messages(rows: &RecordBatch) -> Result<Messages> {
    let [keys, values, times] = rows.columns() else {
        return Err(internal_datafusion_err!("these are no rows of an outbox"));
    };
    let bytes = |column: &ArrayRef| -> Result<BinaryArray> {
        Ok(cast(column, &DataType::Binary)?.as_binary::<i32>().clone())
    };
    let times = cast(times, &TIME)?;
    let set = times.null_count() < times.len();
    Ok(Messages {
        keys: bytes(keys)?,
        values: bytes(values)?,
        timestamps: set.then(|| times.as_primitive::<TimestampMillisecondType>().iter().collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(timestamps: Option<Vec<Option<i64>>>) -> Messages {
        let messages = Messages {
            keys: BinaryArray::from(vec![Some(b"k".as_slice()), None]),
            values: BinaryArray::from(vec![None, Some(b"v".as_slice())]),
            timestamps,
        };
        as_messages(&as_rows(messages).unwrap()).unwrap()
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let messages = there_and_back(Some(vec![Some(7), None]));
        assert_eq!(messages.keys.value(0), b"k");
        assert!(messages.keys.is_null(1) && messages.values.is_null(0));
        assert_eq!(messages.values.value(1), b"v");
        assert_eq!(messages.timestamps, Some(vec![Some(7), None]));
        // The time of sending.
        assert_eq!(there_and_back(None).timestamps, None);
    }
}
