//! The row that the key of a message names.
//!
//! A key is an object with the key columns, the same inside of `{"schema", "payload"}`, or, for a key of one column,
//! its value: as JSON, or as any text. Formats with schemas read a key with theirs first.

use super::frame;
use super::image::Image;
use super::names::{Found, Names};
use super::rejected::Rejected;
use super::rows::Rows;
use super::scanner::{Scanner, escaped, text_of};
use super::slot::{Piece, Slot};

/// Reads the key of a message. Answers the schema that it has beside it, in the scratch text.
///
/// # Errors
/// A key that is no text.
pub(super) fn read(key: Option<&[u8]>, image: &mut Image, rows: &mut Rows) -> Result<Slot, Rejected> {
    image.clear();
    let Some(key) = key else {
        return Ok(Slot::Absent);
    };
    if let Some(mut reader) = rows.take_binary_key() {
        let read = reader.read(key, image, rows);
        rows.keep_binary_key(reader);
        if read? {
            return Ok(Slot::Absent);
        }
        image.clear();
    }
    let json = text_of(frame::without(key))?;
    let start = rows.scratch.text.len();
    if let Ok(schema) = read_json(json, image, rows) {
        return Ok(schema);
    }
    image.clear();
    rows.scratch.text.truncate(start);
    // Control characters may be written as they are, as in values.
    if let Some(escaped) = escaped(json) {
        if let Ok(schema) = read_json(&escaped, image, rows) {
            return Ok(schema);
        }
        image.clear();
        rows.scratch.text.truncate(start);
    }
    // The frame itself need not be UTF-8.
    let text = text_of(key)?;
    let is_object = text.trim_start().starts_with('{');
    if let ([column], false) = (rows.key.as_slice(), is_object) {
        let piece = Piece::copy(text, &mut rows.scratch.text);
        image.set(exactly(*column), Slot::Text(piece));
    }
    Ok(Slot::Absent)
}

fn read_json(text: &str, image: &mut Image, rows: &mut Rows) -> Result<Slot, Rejected> {
    let mut schema = Slot::Absent;
    let Rows {
        names, scratch, key, ..
    } = rows;
    let mut scanner = Scanner::copying(text, scratch);
    if scanner.at_object()? {
        let mut member = scanner.first(|name| Member::of(name, names))?;
        while let Some(which) = member {
            match which {
                Member::Column(found) => image.set(found, scanner.slot()?),
                Member::Payload if scanner.at_object()? => image.read(&mut scanner, names)?,
                Member::Payload => scalar(&mut scanner, image, key)?,
                Member::Schema => schema = scanner.slot()?,
                Member::Other => scanner.skip()?,
            }
            member = scanner.next(|name| Member::of(name, names))?;
        }
    } else {
        scalar(&mut scanner, image, key)?;
    }
    scanner.finish()?;
    Ok(schema)
}

enum Member {
    Column(Found),
    Schema,
    Payload,
    Other,
}

impl Member {
    /// Maxwell writes the columns of a key with `pk.` in front.
    fn of(name: &str, names: &Names) -> Self {
        let without_prefix = || name.strip_prefix("pk.").and_then(|name| names.lookup(name));
        match names.lookup(name).or_else(without_prefix) {
            Some(found) => Self::Column(found),
            None if name == "schema" => Self::Schema,
            None if name == "payload" => Self::Payload,
            None => Self::Other,
        }
    }
}

fn scalar(scanner: &mut Scanner<'_, '_>, image: &mut Image, key: &[usize]) -> Result<(), Rejected> {
    match key {
        [column] => image.set(exactly(*column), scanner.slot()?),
        _ => scanner.skip()?,
    }
    Ok(())
}

pub(super) fn exactly(column: usize) -> Found {
    Found { column, exact: true }
}
