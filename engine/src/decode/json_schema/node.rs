//! A document of JSON whose objects keep the order of their text: `serde_json::Value` sorts them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value of a document.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Whole(i64),
    /// A number that is no `i64`.
    Number,
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// A member of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(member, _)| member == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// A member that is a text, or nothing.
    pub(super) fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Self::Text(text)) => text,
            _ => "",
        }
    }

    /// The items of a member that is a list, or none.
    pub(super) fn items(&self, name: &str) -> &[Self] {
        match self.get(name) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }

    /// A member that is a whole number, or the text of one: Kafka Connect has only texts for parameters.
    pub(super) fn whole(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Self::Whole(value) => Some(*value),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// What a pointer of RFC 6901 leads to.
    pub(super) fn at(&self, pointer: &str) -> Option<&Self> {
        let parts = match pointer {
            "" => return Some(self),
            pointer => pointer.strip_prefix('/')?,
        };
        parts.split('/').try_fold(self, |node, part| match node {
            Self::List(items) => items.get(part.parse::<usize>().ok()?),
            _ => node.get(&part.replace("~1", "/").replace("~0", "~")),
        })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Whole(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Number, Node::Whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_in_their_order_and_pointers_lead_to_them() {
        let text = r#"{"z":1,"a":{"b/c":[null,{"~":"x"}],"big":18446744073709551615},"m":"7"}"#;
        let node: Node = serde_json::from_str(text).unwrap();
        let Node::Object(members) = &node else {
            panic!("{node:?}");
        };
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["z", "a", "m"]);
        assert_eq!(
            (node.whole("z"), node.whole("m"), node.whole("a")),
            (Some(1), Some(7), None)
        );
        assert_eq!(node.at("/a/b~1c/1").unwrap().text("~0"), "");
        assert_eq!(node.at("/a/b~1c/1").unwrap().text("~"), "x");
        assert!(matches!(node.at("/a/big"), Some(Node::Number)));
        assert!(matches!(node.at(""), Some(Node::Object(_))));
        assert!(node.at("/a/b~1c/2").is_none() && node.at("a").is_none());
    }
}
