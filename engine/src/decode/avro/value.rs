//! Walks through an Avro value: into slots, into JSON for columns of text, or past it.
//!
//! Any bytes end in a value or an error. Depth, steps and the text that is written are bounded: a short message can
//! name billions of items that take no bytes.

use super::super::rejected::{Reason, Rejected};
use super::super::rows::{Stores, Want};
use super::super::slot::{Piece, Slot};
use super::super::spell;
use super::cursor::Cursor;
use super::schema::{Field, Form, Meaning, Schema, Type};

/// Deepest nesting.
const DEPTH_MAX: usize = 64;
/// Steps that any message may take, besides some for each of its bytes.
const STEPS: usize = 1 << 16;
const STEPS_PER_BYTE: usize = 4;
/// Most bytes of text that are written for a message.
const TEXT_MAX: usize = 64 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Walker<'m, 's> {
    schema: &'s Schema,
    cursor: Cursor<'m>,
    stores: Stores<'s>,
    steps: usize,
}

impl<'m, 's> Walker<'m, 's> {
    pub(super) fn new(bytes: &'m [u8], schema: &'s Schema, stores: Stores<'s>) -> Self {
        Self {
            schema,
            cursor: Cursor::new(bytes),
            stores,
            steps: STEPS + STEPS_PER_BYTE * bytes.len(),
        }
    }

    /// Checks that nothing follows.
    pub(super) fn finish(self) -> Result<(), Rejected> {
        match self.cursor.rest() {
            0 => Ok(()),
            rest => Err(self.cursor.wrong(&format!("{rest} bytes follow the value"))),
        }
    }

    /// The fields of a record that comes next, or null.
    pub(super) fn enter(&mut self, at: usize) -> Result<Option<&'s [Field]>, Rejected> {
        let at = self.branch(at, 0)?;
        match &self.schema.get(at).form {
            Form::Record(fields) => Ok(Some(fields)),
            Form::Null => Ok(None),
            _ => Err(self.cursor.wrong("expected a record")),
        }
    }

    /// Takes a value.
    pub(super) fn slot(&mut self, at: usize, want: Want) -> Result<Slot, Rejected> {
        let schema = self.schema;
        let at = self.branch(at, 0)?;
        let of = schema.get(at);
        match &of.form {
            Form::Null => Ok(Slot::Null),
            Form::Boolean => Ok(Slot::Bool(self.cursor.byte()? != 0)),
            Form::Int | Form::Long => {
                let value = self.cursor.long()?;
                self.number(value, of.meaning, want)
            }
            Form::Float => {
                let value = f32::from_le_bytes(self.cursor.four()?);
                Ok(match want {
                    Want::Text => Slot::Number(self.text(&value.to_string())?),
                    _ => Slot::Float(value.into()),
                })
            }
            Form::Double => {
                let value = f64::from_le_bytes(self.cursor.eight()?);
                Ok(match want {
                    Want::Text => Slot::Number(self.text(&value.to_string())?),
                    _ => Slot::Float(value),
                })
            }
            Form::String => {
                let text = self.string()?;
                Ok(Slot::Text(self.text(text)?))
            }
            Form::Enum(symbols) => {
                let symbol = self.symbol(symbols)?;
                Ok(Slot::Text(self.text(symbol)?))
            }
            Form::Bytes => {
                let bytes = self.cursor.block()?;
                self.bytes(bytes, of.meaning, want)
            }
            Form::Fixed(size) => {
                let bytes = self.cursor.take(*size)?;
                self.bytes(bytes, of.meaning, want)
            }
            Form::Record(_) if of.meaning == Meaning::ScaledDecimal => {
                let start = self.stores.text.len();
                self.json(at, 0)?;
                Ok(Slot::Number(self.piece(start)))
            }
            Form::Array(_) | Form::Map(_) | Form::Record(_) | Form::Union(_) => {
                let start = self.stores.text.len();
                self.json(at, 0)?;
                Ok(Slot::Nested(self.piece(start)))
            }
        }
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, at: usize) -> Result<(), Rejected> {
        self.skip_within(at, 0)
    }

    fn skip_within(&mut self, at: usize, depth: usize) -> Result<(), Rejected> {
        let schema = self.schema;
        let at = self.branch(at, depth)?;
        match &schema.get(at).form {
            Form::Null => {}
            Form::Boolean => self.cursor.take(1).map(|_| ())?,
            Form::Int | Form::Long | Form::Enum(_) => self.cursor.long().map(|_| ())?,
            Form::Float => self.cursor.take(4).map(|_| ())?,
            Form::Double => self.cursor.take(8).map(|_| ())?,
            Form::Bytes | Form::String => self.cursor.block().map(|_| ())?,
            Form::Fixed(size) => self.cursor.take(*size).map(|_| ())?,
            Form::Array(of) => self.items(|walker| walker.skip_within(*of, depth + 1))?,
            Form::Map(of) => self.items(|walker| {
                walker.cursor.block()?;
                walker.skip_within(*of, depth + 1)
            })?,
            Form::Record(fields) => {
                let mut fields = fields.iter();
                fields.try_for_each(|field| self.skip_within(field.of, depth + 1))?;
            }
            Form::Union(_) => return Err(self.cursor.wrong("a union in a union")),
        }
        Ok(())
    }

    /// Writes a value as JSON.
    fn json(&mut self, at: usize, depth: usize) -> Result<(), Rejected> {
        let schema = self.schema;
        let at = self.branch(at, depth)?;
        let of = schema.get(at);
        match &of.form {
            Form::Array(items) => {
                let mut is_first = true;
                self.write("[")?;
                self.items(|walker| {
                    walker.write(if std::mem::take(&mut is_first) { "" } else { "," })?;
                    walker.json(*items, depth + 1)
                })?;
                self.write("]")
            }
            Form::Map(values) => {
                let mut is_first = true;
                self.write("{")?;
                self.items(|walker| {
                    walker.write(if std::mem::take(&mut is_first) { "" } else { "," })?;
                    let name = walker.string()?;
                    walker.quoted(name)?;
                    walker.write(":")?;
                    walker.json(*values, depth + 1)
                })?;
                self.write("}")
            }
            Form::Record(fields) if of.meaning == Meaning::ScaledDecimal => self.scaled(fields),
            Form::Record(fields) => {
                self.write("{")?;
                for (place, field) in fields.iter().enumerate() {
                    self.write(if place == 0 { "" } else { "," })?;
                    self.quoted(&field.name)?;
                    self.write(":")?;
                    self.json(field.of, depth + 1)?;
                }
                self.write("}")
            }
            _ => self.json_scalar(at),
        }
    }

    fn json_scalar(&mut self, at: usize) -> Result<(), Rejected> {
        let start = self.stores.text.len();
        let slot = self.slot(at, Want::Text)?;
        match slot {
            Slot::Bool(value) => self.write(if value { "true" } else { "false" }),
            Slot::Text(_) => {
                let text = self.stores.text.split_off(start);
                self.quoted(&text)
            }
            // JSON has no word for them.
            Slot::Number(_) if self.stores.text[start..].ends_with(['f', 'N']) => {
                self.stores.text.truncate(start);
                self.write("null")
            }
            Slot::Number(_) => Ok(()),
            _ => self.write("null"),
        }
    }

    /// A number that brings its scale is written as any other.
    fn scaled(&mut self, fields: &[Field]) -> Result<(), Rejected> {
        let (mut scale, mut value) = (None, None);
        for field in fields {
            let of = self.branch(field.of, 0)?;
            match (&self.schema.get(of).form, field.name.as_str()) {
                (Form::Int, "scale") => scale = Some(self.cursor.long()?),
                (Form::Bytes, "value") => value = Some(self.cursor.block()?),
                _ => self.skip_within(of, 1)?,
            }
        }
        let scale = scale.and_then(|scale| i32::try_from(scale).ok());
        let (Some(scale), Some(value)) = (scale.filter(|scale| scale.abs() <= 1000), value) else {
            return Err(self.cursor.wrong("a decimal number without its scale or value"));
        };
        self.decimal(value, scale)
    }

    fn decimal(&mut self, bytes: &[u8], scale: i32) -> Result<(), Rejected> {
        match spell::decimal_of_bytes(bytes, scale, self.stores.text) {
            Ok(()) => self.check_text(),
            Err(_) => {
                let detail = format!("a decimal number of {} bytes", bytes.len());
                Err(Rejected::new(Reason::OutOfRange, detail))
            }
        }
    }

    fn number(&mut self, value: i64, meaning: Meaning, want: Want) -> Result<Slot, Rejected> {
        if want == Want::Text {
            let spelled = match meaning {
                Meaning::Date => spell::date(value),
                Meaning::Time(unit) => spell::time(value, unit),
                Meaning::Instant(unit) => spell::instant(value, unit),
                Meaning::Local(unit) => spell::local(value, unit),
                _ => None,
            };
            return match spelled {
                Some(text) => Ok(Slot::Text(self.text(&text)?)),
                None => Ok(Slot::Number(self.text(&value.to_string())?)),
            };
        }
        Ok(match meaning {
            Meaning::Time(unit) | Meaning::Instant(unit) => Slot::Moment(value, unit),
            Meaning::Local(unit) => Slot::Local(value, unit),
            Meaning::Date => Slot::Day(value),
            _ => Slot::Int(value),
        })
    }

    fn bytes(&mut self, bytes: &[u8], meaning: Meaning, want: Want) -> Result<Slot, Rejected> {
        match (meaning, want) {
            (Meaning::Decimal { scale, .. }, _) => {
                let start = self.stores.text.len();
                self.decimal(bytes, scale.cast_signed())?;
                Ok(Slot::Number(self.piece(start)))
            }
            (_, Want::Bytes) => {
                let start = self.stores.bytes.len();
                self.stores.bytes.extend_from_slice(bytes);
                // No longer than the message.
                Ok(Slot::Bytes(start as u32, self.stores.bytes.len() as u32))
            }
            (Meaning::Uuid, _) => Ok(Slot::Text(self.text(&spell::uuid(bytes))?)),
            _ => Ok(Slot::Text(self.text(&spell::base64(bytes))?)),
        }
    }

    fn string(&mut self) -> Result<&'m str, Rejected> {
        let bytes = self.cursor.block()?;
        std::str::from_utf8(bytes).map_err(|_| self.cursor.wrong("a string that is no UTF-8"))
    }

    fn symbol(&mut self, symbols: &'s [String]) -> Result<&'s str, Rejected> {
        let place = self.cursor.long()?;
        let symbol = usize::try_from(place).ok().and_then(|place| symbols.get(place));
        symbol.map(String::as_str).ok_or_else(|| {
            let what = format!("symbol {place} of an enum of {}", symbols.len());
            self.cursor.wrong(&what)
        })
    }

    /// Takes the choice of a union; another type is itself.
    fn branch(&mut self, at: usize, depth: usize) -> Result<usize, Rejected> {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 || depth > DEPTH_MAX {
            let what = "more items than bytes, or nested too deeply";
            return Err(Rejected::new(Reason::TooLarge, what));
        }
        let Type {
            form: Form::Union(branches),
            ..
        } = self.schema.get(at)
        else {
            return Ok(at);
        };
        let place = self.cursor.long()?;
        let branch = usize::try_from(place).ok().and_then(|place| branches.get(place));
        branch.copied().ok_or_else(|| {
            let what = format!("branch {place} of a union of {}", branches.len());
            self.cursor.wrong(&what)
        })
    }

    /// Goes through the items of a list or map, which come in blocks.
    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Rejected>) -> Result<(), Rejected> {
        loop {
            let count = self.cursor.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // The length of the block in bytes, for those that pass over it.
                self.cursor.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
        }
    }

    fn text(&mut self, text: &str) -> Result<Piece, Rejected> {
        let piece = Piece::copy(text, self.stores.text);
        self.check_text()?;
        Ok(piece)
    }

    fn piece(&self, start: usize) -> Piece {
        Piece::of_scratch(start, self.stores.text.len())
    }

    fn quoted(&mut self, text: &str) -> Result<(), Rejected> {
        spell::quoted(text, self.stores.text);
        self.check_text()
    }

    fn write(&mut self, text: &str) -> Result<(), Rejected> {
        self.stores.text.push_str(text);
        self.check_text()
    }

    fn check_text(&self) -> Result<(), Rejected> {
        match self.stores.text.len() > TEXT_MAX {
            true => Err(Rejected::new(
                Reason::TooLarge,
                format!("it is more than {TEXT_MAX} bytes of JSON"),
            )),
            false => Ok(()),
        }
    }
}
