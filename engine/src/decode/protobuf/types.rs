//! The message types of Protobuf, from a compiled descriptor or from the source that a registry has.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};

use super::super::rejected::{Reason, Rejected};
use super::super::schemas::SchemaText;

/// Name of a file whose source is the schema itself.
const MAIN: &str = "millpond/value.proto";
/// Most indexes of a frame; messages are not nested more deeply.
const INDEXES_MAX: u64 = 32;

/// Message types, and the one that is meant.
#[derive(Debug)]
pub(super) struct Types {
    /// The one that has a name in the options.
    named: Option<MessageDescriptor>,
    /// Those that a frame can mean.
    file: Option<FileDescriptor>,
}

impl Types {
    /// The type with a name, of a `FileDescriptorSet` in base64.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn compiled(descriptor: &str, name: &str) -> Result<Self, String> {
        let text: String = descriptor.split_ascii_whitespace().collect();
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| format!("it is no base64: {error}"))?;
        // Without what it imports, if that is of Protobuf itself.
        let pool = DescriptorPool::decode(bytes.as_slice()).or_else(|_| {
            let mut pool = DescriptorPool::global();
            pool.decode_file_descriptor_set(bytes.as_slice()).map(|()| pool)
        });
        let pool = pool.map_err(|error| format!("it is no FileDescriptorSet: {error}"))?;
        Ok(Self {
            named: Some(named(&pool, name)?),
            file: None,
        })
    }

    /// The types of a schema in the language of `.proto` files.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(schema: &SchemaText, name: Option<&str>) -> Result<Self, String> {
        if schema.language != "PROTOBUF" {
            return Err(format!("it is {}, not PROTOBUF", schema.language));
        }
        let mut pool = DescriptorPool::global();
        for (file, text) in &schema.references {
            if pool.get_file_by_name(file).is_none() {
                add(&mut pool, file, text)?;
            }
        }
        add(&mut pool, MAIN, &schema.text)?;
        Ok(Self {
            named: name.map(|name| named(&pool, name)).transpose()?,
            file: pool.get_file_by_name(MAIN),
        })
    }

    /// The type of a message, and what follows the indexes that a frame has in front of it.
    pub(super) fn of<'m>(
        &self,
        bytes: &'m [u8],
        is_framed: bool,
    ) -> Result<(MessageDescriptor, &'m [u8]), Rejected> {
        let (indexes, value) = match is_framed {
            true => indexes(bytes).ok_or_else(|| wrong("indexes of a message type are missing"))?,
            false => (vec![0], bytes),
        };
        let found = self.named.clone().or_else(|| self.nested(&indexes));
        let found = found.ok_or_else(|| wrong(&format!("the schema has no message type {indexes:?}")))?;
        Ok((found, value))
    }

    /// The type that is meant if no message says another.
    pub(super) fn first(&self) -> Option<MessageDescriptor> {
        self.named.clone().or_else(|| self.nested(&[0]))
    }

    fn nested(&self, indexes: &[usize]) -> Option<MessageDescriptor> {
        let (first, rest) = indexes.split_first()?;
        let mut found = self.file.as_ref()?.messages().nth(*first)?;
        for index in rest {
            // Confluent does not count those that stand for the entries of maps.
            let mut children = found.child_messages().filter(|child| !child.is_map_entry());
            let child = children.nth(*index)?;
            drop(children);
            found = child;
        }
        Some(found)
    }
}

fn named(pool: &DescriptorPool, name: &str) -> Result<MessageDescriptor, String> {
    pool.get_message_by_name(name)
        .ok_or_else(|| format!("there is no message type '{name}'"))
}

fn add(pool: &mut DescriptorPool, file: &str, text: &str) -> Result<(), String> {
    let parsed = protox_parse::parse(file, text).map_err(|error| format!("{file}: {error}"))?;
    pool.add_file_descriptor_proto(parsed)
        .map_err(|error| format!("{file}: {error}"))
}

/// Places of a message type, from the outermost in; none stands for the first of the file.
fn indexes(bytes: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let (count, mut rest) = varint(bytes)?;
    if count == 0 {
        return Some((vec![0], rest));
    }
    let mut indexes = Vec::new();
    for _ in 0..(count <= INDEXES_MAX).then_some(count)? {
        let (index, after) = varint(rest)?;
        indexes.push(usize::try_from(index).ok()?);
        rest = after;
    }
    Some((indexes, rest))
}

/// A whole number, zigzag; negative ones mean nothing here.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return (value & 1 == 0).then_some((value >> 1, &bytes[place + 1..]));
        }
    }
    None
}

pub(super) fn wrong(detail: &str) -> Rejected {
    Rejected::new(Reason::NotProtobuf, detail)
}
