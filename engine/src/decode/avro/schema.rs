//! The schema that a writer of Avro has used.
//!
//! It is read here and not by a crate for Avro, because what Kafka Connect and Debezium say about a type is in
//! attributes of primitive types (`connect.name`), which such crates leave out.

use std::collections::HashMap;

use datafusion::arrow::datatypes::TimeUnit;
use serde_json::{Map, Value};

use super::super::names::{Found, Names};
use super::super::schemas::SchemaText;

/// Most types of a schema.
const TYPES_MAX: usize = 1 << 16;

/// A schema: types that name each other by their place.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) root: usize,
    types: Vec<Type>,
    /// Places of named types.
    names: HashMap<String, usize>,
}

/// How values are written, and what they mean.
#[derive(Debug, Clone, Default)]
pub(super) struct Type {
    pub(super) form: Form,
    pub(super) meaning: Meaning,
}

/// How values are written.
#[derive(Debug, Clone, Default)]
pub(super) enum Form {
    #[default]
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) of: usize,
    /// The column that it fills if the record is a row.
    pub(super) column: Option<Found>,
}

/// What values mean, beyond their form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Meaning {
    #[default]
    Plain,
    /// Days since 1970.
    Date,
    /// Time of day.
    Time(TimeUnit),
    /// A point in time.
    Instant(TimeUnit),
    /// Date and time of day, of no zone.
    Local(TimeUnit),
    /// A point in time as a text.
    InstantText,
    Decimal {
        precision: u64,
        scale: u32,
    },
    /// A decimal number that brings its scale.
    ScaledDecimal,
    Uuid,
}

impl Schema {
    /// Reads a schema; its fields are bound to columns.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(schema: &SchemaText, columns: &Names) -> Result<Self, String> {
        if schema.language != "AVRO" {
            return Err(format!("it is {}, not AVRO", schema.language));
        }
        let mut parsed = Self::default();
        for (name, text) in &schema.references {
            let of = parsed.read(text).map_err(|error| format!("{name}: {error}"))?;
            parsed.names.entry(name.clone()).or_insert(of);
        }
        parsed.root = parsed.read(&schema.text)?;
        for of in &mut parsed.types {
            if let Form::Record(fields) = &mut of.form {
                let bind = |field: &mut Field| field.column = columns.lookup(&field.name);
                fields.iter_mut().for_each(bind);
            }
        }
        Ok(parsed)
    }

    pub(super) fn get(&self, at: usize) -> &Type {
        &self.types[at]
    }

    /// The fields of a record, or of the first record of a union.
    pub(super) fn record(&self, at: usize) -> Option<&[Field]> {
        match &self.get(at).form {
            Form::Record(fields) => Some(fields),
            Form::Union(branches) => {
                let mut forms = branches.iter().map(|branch| &self.get(*branch).form);
                forms.find_map(|form| match form {
                    Form::Record(fields) => Some(fields.as_slice()),
                    _ => None,
                })
            }
            _ => None,
        }
    }

    /// The only type of a union besides null, or the type itself.
    pub(super) fn unwrapped(&self, at: usize) -> &Type {
        if let Form::Union(branches) = &self.get(at).form {
            let is_set = |branch: &&usize| !matches!(self.get(**branch).form, Form::Null);
            let mut set = branches.iter().filter(is_set);
            if let (Some(only), None) = (set.next(), set.next()) {
                return self.get(*only);
            }
        }
        self.get(at)
    }

    fn read(&mut self, text: &str) -> Result<usize, String> {
        // A name alone is valid too, also without the quotes that JSON wants.
        let value = serde_json::from_str(text).or_else(|error| match text.trim() {
            name if is_name(name) => Ok(Value::String(name.to_owned())),
            _ => Err(format!("it is no JSON: {error}")),
        })?;
        self.add(&value, "")
    }

    fn add(&mut self, value: &Value, namespace: &str) -> Result<usize, String> {
        match value {
            Value::String(name) => self.add_name(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.add(branch, namespace));
                let branches: Vec<usize> = branches.collect::<Result<_, String>>()?;
                let is_union = |branch: &usize| matches!(self.get(*branch).form, Form::Union(_));
                if branches.iter().any(is_union) {
                    return Err("a union in a union".to_owned());
                }
                self.put(Form::Union(branches), Meaning::Plain)
            }
            Value::Object(object) => self.add_object(object, namespace),
            other => Err(format!("{other} is no type")),
        }
    }

    fn add_name(&mut self, name: &str, namespace: &str) -> Result<usize, String> {
        if let Some(form) = primitive(name) {
            return self.put(form, Meaning::Plain);
        }
        let within = full_name(name, namespace);
        let found = self.names.get(&within).or_else(|| self.names.get(name));
        found.copied().ok_or_else(|| format!("there is no type {name:?}"))
    }

    fn add_object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        let word = match object.get("type") {
            Some(Value::String(word)) => word.as_str(),
            Some(nested) => return self.add(nested, namespace),
            None => return Err("a type is missing".to_owned()),
        };
        let of = |part: &str| object.get(part).ok_or_else(|| format!("{word} without {part:?}"));
        let form = match word {
            "array" => Form::Array(self.add(of("items")?, namespace)?),
            "map" => Form::Map(self.add(of("values")?, namespace)?),
            "record" | "error" => return self.add_record(object, namespace),
            "enum" => {
                let symbols = of("symbols")?.as_array().into_iter().flatten();
                let symbols = symbols.filter_map(Value::as_str).map(str::to_owned);
                Form::Enum(symbols.collect())
            }
            "fixed" => {
                let size = of("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                Form::Fixed(size.ok_or("fixed with a size that is no number")?)
            }
            name => match primitive(name) {
                Some(form) => form,
                None => return self.add_name(name, namespace),
            },
        };
        let is_named = matches!(form, Form::Enum(_) | Form::Fixed(_));
        let meaning = meaning(object, &form);
        let at = self.put(form, meaning)?;
        if is_named {
            self.names.insert(own_name(object, namespace)?.0, at);
        }
        Ok(at)
    }

    /// The name is known before the fields are, for they may name it.
    fn add_record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<usize, String> {
        let (name, namespace) = own_name(object, namespace)?;
        let at = self.put(Form::Null, Meaning::Plain)?;
        let is_scaled = says(object, "connect.name") == "io.debezium.data.VariableScaleDecimal"
            || name == "io.debezium.data.VariableScaleDecimal";
        self.names.insert(name, at);
        let mut fields = Vec::new();
        let given = object.get("fields").and_then(Value::as_array);
        for field in given.ok_or("record without \"fields\"")? {
            let name = field.get("name").and_then(Value::as_str);
            let of = field.get("type").ok_or("a field without a type")?;
            fields.push(Field {
                name: name.ok_or("a field without a name")?.to_owned(),
                of: self.add(of, &namespace)?,
                column: None,
            });
        }
        let meaning = match is_scaled {
            true => Meaning::ScaledDecimal,
            false => Meaning::Plain,
        };
        self.types[at] = Type {
            form: Form::Record(fields),
            meaning,
        };
        Ok(at)
    }

    fn put(&mut self, form: Form, meaning: Meaning) -> Result<usize, String> {
        if self.types.len() >= TYPES_MAX {
            return Err(format!("it has more than {TYPES_MAX} types"));
        }
        self.types.push(Type { form, meaning });
        Ok(self.types.len() - 1)
    }
}

fn primitive(word: &str) -> Option<Form> {
    Some(match word {
        "null" => Form::Null,
        "boolean" => Form::Boolean,
        "int" => Form::Int,
        "long" => Form::Long,
        "float" => Form::Float,
        "double" => Form::Double,
        "bytes" => Form::Bytes,
        "string" => Form::String,
        _ => return None,
    })
}

fn meaning(object: &Map<String, Value>, form: &Form) -> Meaning {
    use TimeUnit::{Microsecond as Micro, Millisecond as Milli, Nanosecond as Nano};
    let of_debezium = says(object, "connect.name").strip_prefix("io.debezium.time.");
    let logical = says(object, "logicalType");
    match (of_debezium.unwrap_or_default(), logical, form) {
        ("Date", ..) | (_, "date", Form::Int) => Meaning::Date,
        ("Time", ..) | (_, "time-millis", Form::Int) => Meaning::Time(Milli),
        ("MicroTime", ..) | (_, "time-micros", Form::Long) => Meaning::Time(Micro),
        ("NanoTime", ..) => Meaning::Time(Nano),
        ("Timestamp", ..) | (_, "local-timestamp-millis", Form::Long) => Meaning::Local(Milli),
        ("MicroTimestamp", ..) | (_, "local-timestamp-micros", Form::Long) => Meaning::Local(Micro),
        ("NanoTimestamp", ..) | (_, "local-timestamp-nanos", Form::Long) => Meaning::Local(Nano),
        ("ZonedTimestamp", _, Form::String) => Meaning::InstantText,
        (_, "timestamp-millis", Form::Long) => Meaning::Instant(Milli),
        (_, "timestamp-micros", Form::Long) => Meaning::Instant(Micro),
        (_, "timestamp-nanos", Form::Long) => Meaning::Instant(Nano),
        (_, "uuid", Form::Fixed(16) | Form::String) => Meaning::Uuid,
        (_, "decimal", Form::Bytes | Form::Fixed(_)) => decimal(object),
        _ => Meaning::Plain,
    }
}

fn decimal(object: &Map<String, Value>) -> Meaning {
    let number = |part: &str| object.get(part).and_then(Value::as_u64);
    // More digits than these fit no column, and would only cost time.
    let scale = number("scale").unwrap_or(0);
    match u32::try_from(scale).ok().filter(|scale| *scale <= 1000) {
        Some(scale) => Meaning::Decimal {
            precision: number("precision").unwrap_or(0),
            scale,
        },
        None => Meaning::Plain,
    }
}

fn says<'o>(object: &'o Map<String, Value>, part: &str) -> &'o str {
    object.get(part).and_then(Value::as_str).unwrap_or_default()
}

/// The full name of a named type, and the namespace of what is inside.
fn own_name(object: &Map<String, Value>, namespace: &str) -> Result<(String, String), String> {
    let name = says(object, "name");
    if name.is_empty() {
        return Err(format!("{} without \"name\"", says(object, "type")));
    }
    let namespace = object
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or(namespace);
    let full = full_name(name, namespace);
    let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
    Ok((full.clone(), namespace.to_owned()))
}

fn full_name(name: &str, namespace: &str) -> String {
    match name.contains('.') || namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._".contains(c))
}
