//! Avro: values and keys in a schema that their writer has used.
//!
//! Confluent's serializers put the number of the schema in front, and a registry knows the schema. Without a registry
//! all messages have the one schema of the table's options. Fields are found by the names of columns, so a schema may
//! change as long as the names stay.

mod columns;
mod cursor;
mod readers;
mod schema;
mod value;

use std::sync::Arc;

pub(super) use columns::columns_of;

use readers::{Envelopes, Flat, Keys};

use super::Reader;
use super::format::Name;
use super::image::Image;
use super::names::Names;
use super::options::Options;
use super::rejected::{Reason, Rejected};
use super::rows::Rows;
use super::schemas::{SchemaText, Schemas};
use schema::{Field, Schema};
use value::Walker;

/// A reader of values; the one of keys goes to `rows`.
///
/// # Errors
/// What is wrong with the schemas among the options.
pub(super) fn reader(
    name: Name,
    options: &Options,
    rows: &mut Rows,
    schemas: Arc<dyn Schemas>,
) -> Result<Box<dyn Reader>, String> {
    let is_framed = options.is_framed == Some(true);
    let given = |option: &str, text: &Option<String>, rows: &Rows| {
        let given = text.as_ref().map(|text| given(text, is_framed, &rows.names));
        given
            .transpose()
            .map_err(|error| format!("option '{option}': {error}"))
    };
    let (values, keys) = match options.registry {
        Some(_) => (
            Some(Written::by_registry(schemas.clone())),
            Some(Written::by_registry(schemas)),
        ),
        None => (
            given("format.schema", &options.schema, rows)?,
            given("format.key_schema", &options.key_schema, rows)?,
        ),
    };
    let values = values.ok_or("option 'format.schema' is missing")?;
    if let Some(keys) = keys {
        rows.keep_binary_key(Box::new(Keys::new(keys, rows)));
    }
    Ok(match name {
        Name::DebeziumAvro => Box::new(Envelopes::new(values, options, rows)),
        name => Box::new(Flat::new(values, options, rows, name == Name::UpsertAvro)),
    })
}

type Written = super::written::Written<Schema>;

fn given(text: &str, is_framed: bool, columns: &Names) -> Result<Written, String> {
    let schema = Schema::parse(&SchemaText::avro(text), columns)?;
    Ok(Written::given(schema, is_framed))
}

/// Reads a value whose schema is a record, field by field.
fn walk(
    written: &mut Written,
    bytes: &[u8],
    rows: &mut Rows,
    mut take: impl FnMut(&mut Walker<'_, '_>, &Field) -> Result<(), Rejected>,
) -> Result<(), Rejected> {
    let (schema, value) = written.open(bytes, |text| Schema::parse(text, &rows.names))?;
    let mut walker = Walker::new(value, &schema, rows.stores());
    let fields = walker
        .enter(schema.root)?
        .ok_or_else(|| Rejected::new(Reason::NullValue, "expected a record, found null"))?;
    for field in fields {
        take(&mut walker, field)?;
    }
    walker.finish()
}

/// Reads a record in place of the row that was in an image; null is no row.
fn read_row(
    walker: &mut Walker<'_, '_>,
    of: usize,
    wants: &[super::rows::Want],
    image: &mut Image,
) -> Result<(), Rejected> {
    image.clear();
    let Some(fields) = walker.enter(of)? else {
        return Ok(());
    };
    image.begin();
    for field in fields {
        match field.column {
            Some(found) => image.set(found, walker.slot(field.of, wants[found.column])?),
            None => walker.skip(field.of)?,
        }
    }
    Ok(())
}
