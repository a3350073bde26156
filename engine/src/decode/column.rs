//! Columns of rows that grow, one builder for each.

use datafusion::arrow::array::{
    Array, ArrayBuilder, ArrayRef, BinaryBuilder, BinaryViewBuilder, BooleanBuilder, Decimal128Builder,
    Float32Builder, Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Builder,
    LargeBinaryBuilder, LargeStringBuilder, StringBuilder, StringViewBuilder, UInt8Builder, UInt16Builder,
    UInt32Builder, UInt64Builder, make_array,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;

use super::cell::{Cell, Stock};

/// A column that grows.
#[derive(Debug)]
pub(super) struct Column {
    data_type: DataType,
    builder: Builder,
}

/// Times are built as the numbers that they are.
#[derive(Debug)]
enum Builder {
    Bool(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    UInt8(UInt8Builder),
    UInt16(UInt16Builder),
    UInt32(UInt32Builder),
    UInt64(UInt64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
    LargeText(LargeStringBuilder),
    TextView(StringViewBuilder),
    Bytes(BinaryBuilder),
    LargeBytes(LargeBinaryBuilder),
    BytesView(BinaryViewBuilder),
}

macro_rules! each_builder {
    ($self:expr, $builder:ident => $body:expr) => {
        match $self {
            Builder::Bool($builder) => $body,
            Builder::Int8($builder) => $body,
            Builder::Int16($builder) => $body,
            Builder::Int32($builder) => $body,
            Builder::Int64($builder) => $body,
            Builder::UInt8($builder) => $body,
            Builder::UInt16($builder) => $body,
            Builder::UInt32($builder) => $body,
            Builder::UInt64($builder) => $body,
            Builder::Float32($builder) => $body,
            Builder::Float64($builder) => $body,
            Builder::Decimal($builder) => $body,
            Builder::Text($builder) => $body,
            Builder::LargeText($builder) => $body,
            Builder::TextView($builder) => $body,
            Builder::Bytes($builder) => $body,
            Builder::LargeBytes($builder) => $body,
            Builder::BytesView($builder) => $body,
        }
    };
}

impl Column {
    /// An empty column; none if rows of this type cannot be decoded.
    pub(super) fn new(data_type: &DataType) -> Option<Self> {
        let builder = match data_type {
            DataType::Boolean => Builder::Bool(BooleanBuilder::new()),
            DataType::Int8 => Builder::Int8(Int8Builder::new()),
            DataType::Int16 => Builder::Int16(Int16Builder::new()),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => Builder::Int32(Int32Builder::new()),
            DataType::Int64 | DataType::Time64(_) | DataType::Timestamp(..) => {
                Builder::Int64(Int64Builder::new())
            }
            DataType::UInt8 => Builder::UInt8(UInt8Builder::new()),
            DataType::UInt16 => Builder::UInt16(UInt16Builder::new()),
            DataType::UInt32 => Builder::UInt32(UInt32Builder::new()),
            DataType::UInt64 => Builder::UInt64(UInt64Builder::new()),
            DataType::Float32 => Builder::Float32(Float32Builder::new()),
            DataType::Float64 => Builder::Float64(Float64Builder::new()),
            DataType::Decimal128(..) => Builder::Decimal(Decimal128Builder::new()),
            DataType::Utf8 => Builder::Text(StringBuilder::new()),
            DataType::LargeUtf8 => Builder::LargeText(LargeStringBuilder::new()),
            DataType::Utf8View => Builder::TextView(StringViewBuilder::new()),
            DataType::Binary => Builder::Bytes(BinaryBuilder::new()),
            DataType::LargeBinary => Builder::LargeBytes(LargeBinaryBuilder::new()),
            DataType::BinaryView => Builder::BytesView(BinaryViewBuilder::new()),
            _ => return None,
        };
        Some(Self {
            data_type: data_type.clone(),
            builder,
        })
    }

    /// Adds a cell that was made for the type of this column, and so is within its range.
    #[inline]
    pub(super) fn append(&mut self, cell: Cell, stock: Stock<'_>) {
        let text = |piece| stock.texts.get(piece);
        let bytes = |start, end| stock.bytes.get(start..end).unwrap_or_default();
        match (&mut self.builder, cell) {
            (Builder::Bool(builder), Cell::Bool(value)) => builder.append_value(value),
            (Builder::Int8(builder), Cell::Int(value)) => builder.append_value(value as i8),
            (Builder::Int16(builder), Cell::Int(value)) => builder.append_value(value as i16),
            (Builder::Int32(builder), Cell::Int(value)) => builder.append_value(value as i32),
            (Builder::Int64(builder), Cell::Int(value)) => builder.append_value(value),
            (Builder::UInt8(builder), Cell::Unsigned(value)) => builder.append_value(value as u8),
            (Builder::UInt16(builder), Cell::Unsigned(value)) => builder.append_value(value as u16),
            (Builder::UInt32(builder), Cell::Unsigned(value)) => builder.append_value(value as u32),
            (Builder::UInt64(builder), Cell::Unsigned(value)) => builder.append_value(value),
            (Builder::Float32(builder), Cell::Float(value)) => builder.append_value(value as f32),
            (Builder::Float64(builder), Cell::Float(value)) => builder.append_value(value),
            (Builder::Decimal(builder), Cell::Decimal(value)) => builder.append_value(value),
            (Builder::Text(builder), Cell::Text(piece)) => builder.append_value(text(piece)),
            (Builder::Text(builder), Cell::Word(word)) => builder.append_value(word),
            (Builder::LargeText(builder), Cell::Text(piece)) => builder.append_value(text(piece)),
            (Builder::LargeText(builder), Cell::Word(word)) => builder.append_value(word),
            (Builder::TextView(builder), Cell::Text(piece)) => builder.append_value(text(piece)),
            (Builder::TextView(builder), Cell::Word(word)) => builder.append_value(word),
            (Builder::Bytes(builder), Cell::Bytes(start, end)) => builder.append_value(bytes(start, end)),
            (Builder::LargeBytes(builder), Cell::Bytes(start, end)) => {
                builder.append_value(bytes(start, end))
            }
            (Builder::BytesView(builder), Cell::Bytes(start, end)) => builder.append_value(bytes(start, end)),
            (builder, cell) => {
                debug_assert!(
                    matches!(cell, Cell::Null),
                    "a cell of another type than its column"
                );
                each_builder!(builder, builder => builder.append_null());
            }
        }
    }

    /// The column; it is empty then.
    pub(super) fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let mut array = each_builder!(&mut self.builder, builder => ArrayBuilder::finish(builder));
        // Builders double, and what stays in memory is counted by what it takes.
        array.shrink_to_fit();
        if *array.data_type() == self.data_type {
            return Ok(array);
        }
        let data = array.to_data().into_builder().data_type(self.data_type.clone());
        Ok(make_array(data.build()?))
    }
}
