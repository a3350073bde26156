//! Slots of the fields of a message.

use std::borrow::Cow;
use std::io;

use datafusion::arrow::datatypes::TimeUnit;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, SerializeOptions, Value};

use super::super::rejected::{Reason, Rejected};
use super::super::rows::{Stores, Want};
use super::super::slot::{Piece, Slot};
use super::super::spell;
use super::types::wrong;

/// Most bytes of text that are written for a message.
const TEXT_MAX: usize = 64 << 20;

/// Takes the value of a field.
pub(super) fn slot(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    want: Want,
    stores: &mut Stores<'_>,
) -> Result<Slot, Rejected> {
    if field.supports_presence() && !message.has_field(field) {
        return Ok(Slot::Null);
    }
    // One without presence that is not written has its default.
    let value: Cow<'_, Value> = message.get_field(field);
    let slot = of_value(&value, &field.kind(), want, stores)?;
    match stores.text.len() > TEXT_MAX {
        true => Err(Rejected::new(
            Reason::TooLarge,
            format!("it is more than {TEXT_MAX} bytes of JSON"),
        )),
        false => Ok(slot),
    }
}

fn of_value(value: &Value, kind: &Kind, want: Want, stores: &mut Stores<'_>) -> Result<Slot, Rejected> {
    let is_text = want == Want::Text;
    Ok(match value {
        Value::Bool(value) => Slot::Bool(*value),
        Value::I32(value) => int(i64::from(*value), is_text, stores),
        Value::I64(value) => int(*value, is_text, stores),
        Value::U32(value) => int(i64::from(*value), is_text, stores),
        Value::U64(value) => match i64::try_from(*value) {
            Ok(value) => int(value, is_text, stores),
            Err(_) => Slot::Number(Piece::copy(&value.to_string(), stores.text)),
        },
        Value::F32(value) if is_text => Slot::Number(Piece::copy(&value.to_string(), stores.text)),
        Value::F64(value) if is_text => Slot::Number(Piece::copy(&value.to_string(), stores.text)),
        Value::F32(value) => Slot::Float(f64::from(*value)),
        Value::F64(value) => Slot::Float(*value),
        Value::String(value) => Slot::Text(Piece::copy(value, stores.text)),
        Value::Bytes(value) if want == Want::Bytes => {
            let start = stores.bytes.len();
            stores.bytes.extend_from_slice(value);
            // No longer than the message.
            Slot::Bytes(start as u32, stores.bytes.len() as u32)
        }
        Value::Bytes(value) => Slot::Text(Piece::copy(&spell::base64(value), stores.text)),
        Value::EnumNumber(number) => match symbol(kind, *number) {
            Some(symbol) if is_text => Slot::Text(Piece::copy(&symbol, stores.text)),
            _ => int(i64::from(*number), is_text, stores),
        },
        Value::Message(message) => return of_message(message, want, stores),
        Value::List(_) | Value::Map(_) => {
            let start = stores.text.len();
            json(value, kind, stores.text)?;
            Slot::Nested(Piece::of_scratch(start, stores.text.len()))
        }
    })
}

fn int(value: i64, is_text: bool, stores: &mut Stores<'_>) -> Slot {
    match is_text {
        true => Slot::Number(Piece::copy(&value.to_string(), stores.text)),
        false => Slot::Int(value),
    }
}

fn symbol(kind: &Kind, number: i32) -> Option<String> {
    let Kind::Enum(symbols) = kind else { return None };
    Some(symbols.get_value(number)?.name().to_owned())
}

/// A message of Protobuf's own is what it stands for; another one is JSON.
fn of_message(message: &DynamicMessage, want: Want, stores: &mut Stores<'_>) -> Result<Slot, Rejected> {
    let descriptor = message.descriptor();
    match descriptor.full_name() {
        "google.protobuf.Timestamp" if want != Want::Text => timestamp(message, stores),
        "google.protobuf.DoubleValue"
        | "google.protobuf.FloatValue"
        | "google.protobuf.Int64Value"
        | "google.protobuf.UInt64Value"
        | "google.protobuf.Int32Value"
        | "google.protobuf.UInt32Value"
        | "google.protobuf.BoolValue"
        | "google.protobuf.StringValue"
        | "google.protobuf.BytesValue" => match descriptor.get_field(1) {
            Some(field) => of_value(&message.get_field(&field), &field.kind(), want, stores),
            None => Ok(Slot::Null),
        },
        name => {
            let is_text = matches!(
                name,
                "google.protobuf.Timestamp" | "google.protobuf.Duration" | "google.protobuf.FieldMask"
            );
            let start = stores.text.len();
            json_message(message, stores.text)?;
            let written = &stores.text[start..];
            let inner = written.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            match inner.filter(|_| is_text).map(str::to_owned) {
                Some(inner) => {
                    stores.text.truncate(start);
                    Ok(Slot::Text(Piece::copy(&inner, stores.text)))
                }
                None => Ok(Slot::Nested(Piece::of_scratch(start, stores.text.len()))),
            }
        }
    }
}

fn timestamp(message: &DynamicMessage, stores: &mut Stores<'_>) -> Result<Slot, Rejected> {
    let part = |number| {
        let value = message.get_field_by_number(number);
        value.and_then(|value| value.as_i64().or_else(|| value.as_i32().map(i64::from)))
    };
    let (seconds, nanos) = (part(1).unwrap_or(0), part(2).unwrap_or(0));
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(wrong(&format!("a timestamp with {nanos} nanoseconds")));
    }
    let in_unit = |unit, per_second: i64| {
        let parts = nanos / (1_000_000_000 / per_second);
        let value = seconds.checked_mul(per_second)?.checked_add(parts)?;
        Some(Slot::Moment(value, unit))
    };
    let fine = in_unit(TimeUnit::Nanosecond, 1_000_000_000);
    let moment = fine.or_else(|| in_unit(TimeUnit::Microsecond, 1_000_000));
    // What is farther away has no place in a column; it is shown as it is.
    Ok(moment.unwrap_or_else(|| Slot::Text(Piece::copy(&format!("{seconds} s"), stores.text))))
}

/// Writes a list, a map or an item of one.
fn json(value: &Value, kind: &Kind, out: &mut String) -> Result<(), Rejected> {
    if out.len() > TEXT_MAX {
        return Err(Rejected::new(Reason::TooLarge, "it is too much JSON"));
    }
    match value {
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::I32(value) => out.push_str(&value.to_string()),
        Value::I64(value) => out.push_str(&value.to_string()),
        Value::U32(value) => out.push_str(&value.to_string()),
        Value::U64(value) => out.push_str(&value.to_string()),
        Value::F32(value) if value.is_finite() => out.push_str(&value.to_string()),
        Value::F64(value) if value.is_finite() => out.push_str(&value.to_string()),
        Value::F32(_) | Value::F64(_) => out.push_str("null"),
        Value::String(value) => spell::quoted(value, out),
        Value::Bytes(value) => spell::quoted(&spell::base64(value), out),
        Value::EnumNumber(number) => match symbol(kind, *number) {
            Some(symbol) => spell::quoted(&symbol, out),
            None => out.push_str(&number.to_string()),
        },
        Value::Message(message) => json_message(message, out)?,
        Value::List(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                json(item, kind, out)?;
            }
            out.push(']');
        }
        Value::Map(entries) => {
            let of_values = kind
                .as_message()
                .map(|entry| entry.map_entry_value_field().kind());
            // Maps have no order of their own.
            let mut sorted: Vec<(String, &Value)> =
                entries.iter().map(|(key, value)| (name_of(key), value)).collect();
            sorted.sort_by(|one, other| one.0.cmp(&other.0));
            out.push('{');
            for (place, (key, value)) in sorted.into_iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                spell::quoted(&key, out);
                out.push(':');
                json(value, of_values.as_ref().unwrap_or(kind), out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn json_message(message: &DynamicMessage, out: &mut String) -> Result<(), Rejected> {
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(false)
        .use_proto_field_name(true);
    let mut bounded = Bounded(Vec::new());
    let written = message.serialize_with_options(&mut serde_json::Serializer::new(&mut bounded), &options);
    let text = written
        .map_err(|error| error.to_string())
        .and_then(|()| String::from_utf8(bounded.0).map_err(|error| error.to_string()));
    let text = text.map_err(|error| {
        wrong(&format!(
            "{} is not what it should be: {error}",
            message.descriptor().name()
        ))
    })?;
    out.push_str(&text);
    Ok(())
}

/// Takes no more than a message may have.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEXT_MAX {
            return Err(io::Error::other("too much JSON"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn name_of(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
