//! What Confluent's serializers put in front of a message: a byte 0 and the number of its schema in 4 bytes, or a byte 1
//! and its GUID in 16 (`SchemaId` of their clients).

use uuid::Uuid;

use super::rejected::{Reason, Rejected};
use super::schemas::SchemaId;

/// First bytes of frames.
const NUMBER: u8 = 0;
const GUID: u8 = 1;

/// What the schema is called, and what follows; `None` if there is no frame.
pub(super) fn split(bytes: &[u8]) -> Option<(SchemaId, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    match *kind {
        NUMBER => {
            let (number, rest) = rest.split_first_chunk()?;
            Some((SchemaId::Number(u32::from_be_bytes(*number)), rest))
        }
        GUID => {
            let (guid, rest) = rest.split_first_chunk()?;
            Some((SchemaId::Guid(Uuid::from_bytes(*guid)), rest))
        }
        _ => None,
    }
}

/// The same for bytes that must have a frame.
pub(super) fn split_required(bytes: &[u8]) -> Result<(SchemaId, &[u8]), Rejected> {
    split(bytes).ok_or_else(|| {
        let first = bytes.first().map_or_else(
            || "nothing".to_owned(),
            |byte| format!("{byte:#04x} in {} bytes", bytes.len()),
        );
        let detail =
            format!("expected 0x00 and the number of a schema in front, or 0x01 and its GUID, found {first}");
        Rejected::new(Reason::NotFramed, detail)
    })
}

/// JSON without its frame, if it has one: JSON never starts with these bytes.
pub(super) fn without(bytes: &[u8]) -> &[u8] {
    split(bytes).map_or(bytes, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_a_byte_and_what_the_schema_is_called() {
        assert_eq!(
            split(&[0, 0, 0, 1, 2, 9]),
            Some((SchemaId::Number(258), &[9][..]))
        );
        assert_eq!(split(&[0, 0, 0, 1]), None);
        let guid = Uuid::from_u128(7 << 64);
        let framed = [&[1], guid.as_bytes().as_slice(), b"{}"].concat();
        assert_eq!(split(&framed), Some((SchemaId::Guid(guid), &b"{}"[..])));
        assert_eq!(split(&framed[..16]), None);
        assert_eq!(without(&framed), b"{}");
        assert_eq!(split(b"{\"a\":1}"), None);
        assert_eq!(without(b"\0\0\0\0\x07{}"), b"{}");
        assert_eq!(without(b"{}"), b"{}");
        assert_eq!(split_required(b"{").unwrap_err().reason(), Reason::NotFramed);
    }
}
