//! JSON Schema, of draft 07 and later: the columns of a table whose messages are JSON, as a registry has them.
//!
//! It says which columns there are when a table is made, and no more: messages are read without it. So only the types of
//! values count, and a column of text takes what has none that is known.

mod node;
mod types;

use datafusion::arrow::datatypes::{Field, Schema as Columns};

use self::node::Node;
use self::types::Values;
use super::cell::Writing;
use super::options::Options;
use super::schemas::SchemaText;

/// Deepest nesting of what is looked at.
const DEPTH_MAX: usize = 64;
/// Most schemas that are looked at, those that are referred to each time.
const STEPS_MAX: usize = 1 << 14;

/// The columns of the objects of a schema; `within` is the property that has the row, if it is not the value itself.
///
/// # Errors
/// What is wrong with the schema, or cannot be read.
pub(super) fn columns_of(
    text: &SchemaText,
    within: Option<&str>,
    options: &Options,
) -> Result<Columns, String> {
    if text.language != "JSON" {
        return Err(format!("it is {}, not JSON", text.language));
    }
    let root = parse(&text.text)?;
    let other = |(name, text): &(String, String)| {
        let node = parse(text).map_err(|error| format!("{name}: {error}"))?;
        Ok((name.clone(), node))
    };
    let others: Vec<(String, Node)> = text.references.iter().map(other).collect::<Result<_, String>>()?;
    let writing = Writing {
        unit: options.unit,
        ..Writing::default()
    };
    let mut walk = Walk {
        others: &others,
        writing,
        steps: 0,
    };
    let root = Place {
        document: &root,
        node: &root,
    };
    walk.columns(root, within)
}

fn parse(text: &str) -> Result<Node, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))
}

/// A schema within a document, which its references are about.
#[derive(Debug, Clone, Copy)]
struct Place<'d> {
    document: &'d Node,
    node: &'d Node,
}

impl<'d> Place<'d> {
    /// Another schema of the same document.
    fn to(self, node: &'d Node) -> Self {
        Self { node, ..self }
    }

    /// Schemas of which values have one.
    fn branches(self) -> impl Iterator<Item = Self> {
        let branches = self.node.items("oneOf").iter().chain(self.node.items("anyOf"));
        branches.map(move |branch| self.to(branch))
    }

    /// Schemas that values have all.
    fn parts(self) -> impl Iterator<Item = Self> {
        self.node.items("allOf").iter().map(move |part| self.to(part))
    }
}

type Properties<'d> = Vec<(&'d str, Place<'d>)>;

/// Goes through a schema, which may refer to itself.
#[derive(Debug)]
struct Walk<'d> {
    /// Documents that it names.
    others: &'d [(String, Node)],
    /// How messages of the table are read.
    writing: Writing,
    /// Schemas that were looked at.
    steps: usize,
}

impl<'d> Walk<'d> {
    fn columns(&mut self, root: Place<'d>, within: Option<&str>) -> Result<Columns, String> {
        let mut properties = Properties::new();
        self.add_properties(root, 0, &mut properties)?;
        if let Some(within) = within {
            let row = properties.iter().find(|(name, _)| *name == within);
            let (_, row) = *row.ok_or_else(|| format!("it has no property {within:?}"))?;
            properties.clear();
            let added = self.add_properties(row, 0, &mut properties);
            added.map_err(|error| format!("property {within:?}: {error}"))?;
        }
        if properties.is_empty() {
            return Err("it is no object with properties".to_owned());
        }
        // Kafka Connect says where a field is; others write properties in their order.
        properties.sort_by_key(|(_, place)| place.node.whole("connect.index").unwrap_or(i64::MAX));
        let column = |(name, place): (&str, Place<'d>)| {
            let values = self.values(place, 0);
            let values = values.map_err(|error| format!("property {name:?}: {error}"))?;
            Ok(Field::new(name, values.data_type(), true))
        };
        let columns = properties.into_iter().map(column);
        Ok(Columns::new(columns.collect::<Result<Vec<_>, String>>()?))
    }

    /// Adds the properties of an object that are not there yet.
    fn add_properties(
        &mut self,
        at: Place<'d>,
        depth: usize,
        found: &mut Properties<'d>,
    ) -> Result<(), String> {
        let at = self.enter(at, depth)?;
        if let Some(Node::Object(members)) = at.node.get("properties") {
            for (name, node) in members {
                self.step()?;
                if !is_in(found, name) {
                    found.push((name.as_str(), at.to(node)));
                }
            }
        }
        for part in at.parts() {
            self.add_properties(part, depth + 1, found)?;
        }
        let mut objects: Vec<Properties<'d>> = Vec::new();
        for branch in at.branches() {
            let mut own = Properties::new();
            self.add_properties(branch, depth + 1, &mut own)?;
            if !own.is_empty() {
                objects.push(own);
            }
        }
        if found.is_empty() && objects.len() == 1 {
            found.extend(objects.into_iter().flatten());
            return Ok(());
        }
        // Branches may say more about properties that there are anyway.
        match objects.iter().flatten().find(|(name, _)| !is_in(found, name)) {
            Some((name, _)) => Err(format!("only some of its objects have a property {name:?}")),
            None => Ok(()),
        }
    }

    /// What the values of a schema are.
    fn values(&mut self, at: Place<'d>, depth: usize) -> Result<Values, String> {
        let at = self.enter(at, depth)?;
        match at.node {
            Node::Object(_) => {}
            Node::Bool(true) => return Ok(Values::Any),
            Node::Bool(false) => return Err("it can have no value".to_owned()),
            _ => return Err("it has no schema".to_owned()),
        }
        match at.node.get("type") {
            Some(Node::Text(word)) => return Values::of_word(word, at.node, self.writing),
            Some(Node::List(words)) => return self.of_words(words, at.node),
            Some(_) => return Err("its \"type\" is no text".to_owned()),
            None => {}
        }
        let mut either = None;
        for branch in at.branches() {
            let values = self.values(branch, depth + 1)?;
            either = Some(match either {
                Some(others) => values.or(others),
                None => values,
            });
        }
        if let Some(values) = either {
            return Ok(values);
        }
        // Values are those of each part, so the first that says something is enough.
        for part in at.parts() {
            match self.values(part, depth + 1)? {
                Values::Any => {}
                values => return Ok(values),
            }
        }
        Ok(Values::of_constants(at.node))
    }

    fn of_words(&self, words: &[Node], schema: &Node) -> Result<Values, String> {
        let mut values = Values::Null;
        for word in words {
            let Node::Text(word) = word else {
                return Err("its \"type\" has what is no text".to_owned());
            };
            values = values.or(Values::of_word(word, schema, self.writing)?);
        }
        Ok(values)
    }

    /// The schema that a place refers to, or its own.
    fn enter(&mut self, mut at: Place<'d>, depth: usize) -> Result<Place<'d>, String> {
        if depth > DEPTH_MAX {
            return Err("it is nested too deep, or refers to itself".to_owned());
        }
        loop {
            self.step()?;
            if let Some(word) = ["$dynamicRef", "$recursiveRef"]
                .into_iter()
                .find(|word| at.node.get(word).is_some())
            {
                return Err(format!("{word:?} is not known here"));
            }
            at = match at.node.get("$ref") {
                None => return Ok(at),
                Some(Node::Text(reference)) => self.referred(at, reference)?,
                Some(_) => return Err("its \"$ref\" is no text".to_owned()),
            };
        }
    }

    /// What a reference is to: `#/definitions/NAME`, or the same behind the name of another document.
    fn referred(&self, at: Place<'d>, reference: &str) -> Result<Place<'d>, String> {
        let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let mut others = self.others.iter();
        let document = match name {
            "" => Some(at.document),
            _ => others
                .find(|(other, _)| other == name)
                .map(|(_, document)| document),
        };
        let found = document.and_then(|document| Some((document, document.at(pointer)?)));
        let (document, node) = found.ok_or_else(|| format!("its \"$ref\" {reference:?} leads nowhere"))?;
        Ok(Place { document, node })
    }

    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        match self.steps > STEPS_MAX {
            true => Err("it is too large, or refers to itself".to_owned()),
            false => Ok(()),
        }
    }
}

fn is_in(properties: &[(&str, Place<'_>)], name: &str) -> bool {
    properties.iter().any(|(known, _)| *known == name)
}
