//! A message is the value of the one column.

use datafusion::arrow::datatypes::DataType;

use super::Reader;
use super::change::{Message, Skip, Table};
use super::rejected::Rejected;
use super::rows::Rows;

/// Reads values as they are.
#[derive(Debug)]
pub(super) struct Raw {
    is_text: bool,
}

impl Raw {
    pub(super) fn new(table: &Table) -> Result<Self, String> {
        let types: Vec<_> = table
            .schema
            .fields()
            .iter()
            .map(|field| field.data_type())
            .collect();
        let is_text = match types.as_slice() {
            [DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View] => true,
            [DataType::Binary | DataType::LargeBinary | DataType::BinaryView] => false,
            _ => {
                return Err(
                    "format 'raw' puts the whole message into one column: declare exactly one, of type \
                            VARCHAR or BYTEA"
                        .into(),
                );
            }
        };
        Ok(Self { is_text })
    }
}

impl Reader for Raw {
    fn read(&mut self, text: &str, message: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        if self.is_text {
            rows.put_text(text);
        } else {
            rows.put_bytes(message.value.unwrap_or_default());
        }
        Ok(None)
    }

    fn read_null(&mut self, _: Message<'_>, rows: &mut Rows) -> Result<Option<Skip>, Rejected> {
        rows.put_null()?;
        Ok(None)
    }

    fn is_text(&self) -> bool {
        self.is_text
    }
}
