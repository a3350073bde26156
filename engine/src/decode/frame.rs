//! What Confluent's serializers put in front of a message: a zero byte and the number of its schema.

use super::rejected::{Reason, Rejected};

/// Bytes of a frame.
const LENGTH: usize = 5;

/// The number of the schema, and what follows; `None` if there is no frame.
pub(super) fn split(bytes: &[u8]) -> Option<(u32, &[u8])> {
    match bytes.split_at_checked(LENGTH)? {
        ([0, a, b, c, d], rest) => Some((u32::from_be_bytes([*a, *b, *c, *d]), rest)),
        _ => None,
    }
}

/// The same for bytes that must have a frame.
pub(super) fn split_required(bytes: &[u8]) -> Result<(u32, &[u8]), Rejected> {
    split(bytes).ok_or_else(|| {
        let first = bytes.first().map_or_else(
            || "nothing".to_owned(),
            |byte| format!("{byte:#04x} in {} bytes", bytes.len()),
        );
        let detail = format!("expected 0x00 and the number of a schema in front, found {first}");
        Rejected::new(Reason::NotFramed, detail)
    })
}

/// JSON without its frame, if it has one: JSON never starts with a zero byte.
pub(super) fn without(bytes: &[u8]) -> &[u8] {
    split(bytes).map_or(bytes, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_a_zero_byte_and_a_number() {
        assert_eq!(split(&[0, 0, 0, 1, 2, 9]), Some((258, &[9][..])));
        assert_eq!(split(&[0, 0, 0, 1]), None);
        assert_eq!(split(b"{\"a\":1}"), None);
        assert_eq!(without(b"\0\0\0\0\x07{}"), b"{}");
        assert_eq!(without(b"{}"), b"{}");
        assert_eq!(split_required(b"{").unwrap_err().reason, Reason::NotFramed);
    }
}
