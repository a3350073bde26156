//! Columns of JSON messages that have no schema: a column for each name, in the order of their appearance, of a type
//! that takes all values which were seen.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{DataType, Field, Schema};

use super::frame;
use super::rejected::Rejected;
use super::scanner::{Scanner, Scratch, escaped, text_of};
use super::slot::{Slot, Texts};

/// Most columns.
const COLUMNS_MAX: usize = 1000;

/// What was seen in messages so far.
#[derive(Debug, Default)]
pub struct Inferred {
    columns: Vec<(String, Seen)>,
    places: HashMap<String, usize>,
    scratch: Scratch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Bool,
    Int,
    Float,
    Text,
}

impl Seen {
    fn of(slot: Slot, texts: Texts<'_>) -> Self {
        match slot {
            Slot::Absent | Slot::Null => Self::Nothing,
            Slot::Bool(_) => Self::Bool,
            Slot::Number(piece) => {
                let text = texts.get(piece);
                let is_whole = || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
                match text.parse::<i64>() {
                    Ok(_) => Self::Int,
                    // No number type keeps all its digits.
                    Err(_) if is_whole() => Self::Text,
                    Err(_) => Self::Float,
                }
            }
            _ => Self::Text,
        }
    }

    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, seen) | (seen, Self::Nothing) => seen,
            (one, other) if one == other => one,
            (Self::Int | Self::Float, Self::Int | Self::Float) => Self::Float,
            _ => Self::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Nothing | Self::Text => DataType::Utf8,
        }
    }
}

impl Inferred {
    /// Looks at a message. One that is no JSON object, and no list of such, says nothing.
    pub fn look(&mut self, message: &[u8]) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        if let Ok(text) = text_of(frame::without(message)) {
            let seen = members(text, &mut scratch);
            // Control characters may be written as they are, as for rows.
            let seen = seen.or_else(|rejected| match escaped(text) {
                Some(text) => members(&text, &mut scratch),
                None => Err(rejected),
            });
            let seen = seen.into_iter().flatten();
            seen.for_each(|(name, seen)| self.add(name, seen));
        }
        self.scratch = scratch;
    }

    /// The columns; `None` if no message was an object with a name in it.
    pub fn schema(&self) -> Option<Schema> {
        let column = |(name, seen): &(String, Seen)| Field::new(name, seen.data_type(), true);
        let columns: Vec<Field> = self.columns.iter().map(column).collect();
        (!columns.is_empty()).then(|| Schema::new(columns))
    }

    fn add(&mut self, name: String, seen: Seen) {
        match self.places.get(&name) {
            Some(place) => {
                let column = &mut self.columns[*place].1;
                *column = column.with(seen);
            }
            None if self.columns.len() < COLUMNS_MAX => {
                self.places.insert(name.clone(), self.columns.len());
                self.columns.push((name, seen));
            }
            None => {}
        }
    }
}

fn members(text: &str, scratch: &mut Scratch) -> Result<Vec<(String, Seen)>, Rejected> {
    let mut slots = Vec::new();
    let mut scanner = Scanner::new(text, scratch);
    if scanner.at_list()? {
        let mut has_next = scanner.first_value()?;
        while has_next {
            members_of(&mut scanner, &mut slots)?;
            has_next = scanner.next_value()?;
        }
    } else {
        members_of(&mut scanner, &mut slots)?;
    }
    scanner.finish()?;
    let texts = Texts {
        message: text,
        scratch: &scratch.text,
    };
    let seen = |(name, slot)| (name, Seen::of(slot, texts));
    Ok(slots.into_iter().map(seen).collect())
}

fn members_of(scanner: &mut Scanner<'_, '_>, slots: &mut Vec<(String, Slot)>) -> Result<(), Rejected> {
    let mut member = scanner.first(str::to_owned)?;
    while let Some(name) = member {
        slots.push((name, scanner.slot()?));
        member = scanner.next(str::to_owned)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(messages: &[&str]) -> Option<Vec<String>> {
        let mut inferred = Inferred::default();
        messages
            .iter()
            .for_each(|message| inferred.look(message.as_bytes()));
        let schema = inferred.schema()?;
        let columns = schema.fields().iter();
        Some(
            columns
                .map(|field| format!("{} {}", field.name(), field.data_type()))
                .collect(),
        )
    }

    #[test]
    fn types_take_all_values_that_were_seen() {
        let columns = inferred(&[
            r#"{"z":1,"a":null,"f":1,"b":true,"n":{"x":[1]}}"#,
            "no json",
            "[1]",
            r#"{"a":"x","f":1.5,"m":1,"big":18446744073709551616,"z":-5}"#,
            r#"{"m":"x","e":1e3,"none":null}"#,
        ]);
        assert_eq!(
            columns.unwrap(),
            [
                "z Int64",
                "a Utf8",
                "f Float64",
                "b Boolean",
                "n Utf8",
                "m Utf8",
                "big Utf8",
                "e Float64",
                "none Utf8"
            ]
        );
        assert_eq!(inferred(&["[]", "", "{}"]), None);
        let columns = inferred(&[
            r#"[{"a":1},{"a":1.5,"b":"x"}]"#,
            "{\"c\":\"\t\"}",
            r#"[{"d":1},2]"#,
        ]);
        assert_eq!(columns.unwrap(), ["a Float64", "b Utf8", "c Utf8"]);
    }
}
