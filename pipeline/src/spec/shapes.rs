//! Forms that values of a pipeline have.

use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use crate::kind::{Column, Kind};
use crate::mistake::{Mistake, suggestion};

/// A text, and where it stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Name(Spanned<String>);

impl Name {
    /// Where it stands.
    pub fn location(&self) -> Location {
        self.0.referenced
    }

    /// Something that is wrong with it.
    pub fn mistake(&self, what: impl Into<String>) -> Mistake {
        Mistake::at(self.location(), what)
    }
}

impl Deref for Name {
    type Target = String;

    fn deref(&self) -> &String {
        &self.0.value
    }
}

impl JsonSchema for Name {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

/// A value: null, true or false, a number or a text.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// None.
    Null(()),
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null(()) => f.write_str("null"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// Names with something for each, in the order they were written.
#[derive(Debug, Clone)]
pub struct Pairs<T>(Vec<(Name, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Pairs<T> {
    type Target = [(Name, T)];

    fn deref(&self) -> &[(Name, T)] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with a value for each")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Read(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Pairs<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("pairs_of_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "additionalProperties": generator.subschema_for::<T>()})
    }
}

/// Columns: a list of names, in which `*` stands for any letters, or a word: all, numeric, text or dates.
#[derive(Debug, Clone)]
pub struct Selection {
    names: Vec<Name>,
    is_word: bool,
}

/// Words that stand for columns.
const WORDS: [&str; 4] = ["all", "numeric", "text", "dates"];

impl Selection {
    /// True if it names none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The columns that it stands for, by their places among those there are, in the order they are named.
    ///
    /// # Errors
    /// A name or pattern that is none of them.
    pub fn resolve(&self, columns: &[Column]) -> Result<Vec<usize>, Mistake> {
        let mut places = Vec::new();
        for name in &self.names {
            let found = match self.is_word {
                true => by_word(name, columns)?,
                false => by_name(name, columns)?,
            };
            places.extend(
                found
                    .into_iter()
                    .filter(|place| !places.contains(place))
                    .collect::<Vec<_>>(),
            );
        }
        Ok(places)
    }
}

fn by_word(word: &Name, columns: &[Column]) -> Result<Vec<usize>, Mistake> {
    let wanted: fn(Kind) -> bool = match word.as_str() {
        "all" => |_| true,
        "numeric" => Kind::is_numeric,
        "text" => |kind| kind == Kind::Text,
        "dates" => |kind| matches!(kind, Kind::Date | Kind::Timestamp),
        other => {
            return Err(word
                .mistake(format!("'{other}' stands for no columns"))
                .hint(format!(
                    "write a list, such as [{other}], or one of {}",
                    WORDS.join(", ")
                )));
        }
    };
    let places = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| wanted(column.kind));
    Ok(places.map(|(place, _)| place).collect())
}

fn by_name(name: &Name, columns: &[Column]) -> Result<Vec<usize>, Mistake> {
    if let Some(place) = columns.iter().position(|column| column.name == **name) {
        return Ok(vec![place]);
    }
    if name.contains('*') {
        let fits = |column: &Column| fits(name, &column.name);
        let places: Vec<usize> = (0..columns.len())
            .filter(|place| fits(&columns[*place]))
            .collect();
        return match places.is_empty() {
            true => Err(name.mistake(format!("no column is like '{}'", **name))),
            false => Ok(places),
        };
    }
    place_of(name, columns).map(|place| vec![place])
}

/// The place of a column: the one that is written so, or else the only one but for large and small letters.
///
/// # Errors
/// There is none, or several.
pub fn place_of(name: &Name, columns: &[Column]) -> Result<usize, Mistake> {
    find(name, columns).map_err(|(what, hint)| name.mistake(what).hint(hint))
}

/// As [`place_of`], of a name without a place.
pub(crate) fn find(name: &str, columns: &[Column]) -> Result<usize, (String, String)> {
    if let Some(place) = columns.iter().position(|column| column.name == name) {
        return Ok(place);
    }
    let mut like = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.name.eq_ignore_ascii_case(name));
    match (like.next(), like.next()) {
        (Some((place, _)), None) => Ok(place),
        (Some((_, one)), Some((_, other))) => Err((
            format!("column '{name}' could be '{}' or '{}'", one.name, other.name),
            "write it as it is".to_owned(),
        )),
        (None, _) => Err((
            format!("there is no column '{name}' here"),
            suggestion(name, columns.iter().map(|column| column.name.as_str())),
        )),
    }
}

/// Whether a name is like a pattern in which `*` stands for any letters.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

impl<'de> Deserialize<'de> for Selection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Vec<Name>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of columns, or one of {}", WORDS.join(", "))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Vec<Name>, E> {
                match WORDS.contains(&word) {
                    true => Ok(vec![Name(Spanned::new(
                        word.to_owned(),
                        Location::UNKNOWN,
                        Location::UNKNOWN,
                    ))]),
                    false => Err(E::custom(format!(
                        "'{word}' stands for no columns: write a list, such as [{word}], or one of {}",
                        WORDS.join(", ")
                    ))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Vec<Name>, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = names.next_element()? {
                    all.push(name);
                }
                match all.is_empty() {
                    true => Err(A::Error::custom("no column is named")),
                    false => Ok(all),
                }
            }
        }
        let names = deserializer.deserialize_any(Read)?;
        let is_word = matches!(names.as_slice(), [name] if name.location() == Location::UNKNOWN);
        Ok(Self { names, is_word })
    }
}

impl JsonSchema for Selection {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "columns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "columns: a list of names, in which * stands for any letters, or all, numeric, text or dates",
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
                {"enum": ["all", "numeric", "text", "dates"]}
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("Mnt*", "MntWines", true),
            ("Mnt*", "Mn", false),
            ("*_z", "age_z", true),
            ("*_z", "age_z1", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_may_differ_in_their_letters_alone() {
        let columns: Vec<Column> = ["Income", "ID", "id"]
            .map(|name| Column {
                name: name.to_owned(),
                kind: Kind::Integer,
            })
            .to_vec();
        assert_eq!(find("income", &columns), Ok(0));
        assert_eq!(find("id", &columns), Ok(2));
        assert!(find("Id", &columns).is_err());
        let (_, hint) = find("incme", &columns).unwrap_err();
        assert_eq!(hint, "did you mean 'Income'?");
    }
}
