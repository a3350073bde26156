//! Keys of rows, as bytes, and where the row of each is.

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::internal_datafusion_err;
use datafusion::error::Result;

use super::index::KeyIndex;
use super::segment::Segment;

/// See the module.
pub(super) struct Keys {
    /// Columns of the key, by their place in the table.
    places: Vec<usize>,
    converter: RowConverter,
    pub(super) index: KeyIndex,
}

impl Keys {
    /// Keys of these columns, of which there are none yet.
    ///
    /// # Errors
    /// A type that cannot be part of a key.
    pub(super) fn new(places: &[usize], schema: &SchemaRef) -> Result<Self> {
        let fields = places.iter().map(|place| {
            let field = schema.fields().get(*place);
            let field = field.ok_or_else(|| internal_datafusion_err!("no column {place} for a key"))?;
            Ok(SortField::new(field.data_type().clone()))
        });
        Ok(Self {
            converter: RowConverter::new(fields.collect::<Result<_>>()?)?,
            places: places.to_vec(),
            index: KeyIndex::new(),
        })
    }

    /// Keys of some rows.
    pub(super) fn of(&self, rows: &RecordBatch) -> Result<Rows> {
        let columns: Vec<ArrayRef> = self
            .places
            .iter()
            .map(|place| rows.column(*place).clone())
            .collect();
        if columns.iter().any(|column| column.is_empty()) {
            return Ok(self.converter.empty_rows(0, 0));
        }
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// Keys of all rows of a segment.
    pub(super) fn of_segment(&self, segment: &Segment) -> Result<Rows> {
        let columns = self.places.iter().map(|place| segment.column(*place));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// Forgets all keys.
    pub(super) fn clear(&mut self) {
        self.index = KeyIndex::new();
    }
}
