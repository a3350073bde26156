//! How a message becomes the bytes of an object, and how damage and newer formats are told apart on the way back.
//!
//! The bytes are those of the message with one more field at their end, the SHA-256 of all bytes before it. The
//! checksum is over bytes and not over a decoded message, so fields that this version does not know are covered.

use bytes::Bytes;
use millpond_proto::catalog::{Backup, CHECKSUM_FIELD, Entry, FORMAT, Snapshot};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use sha2::{Digest, Sha256};

use super::Error;

/// Length of a SHA-256 in bytes.
const CHECKSUM_BYTES: usize = 32;

/// A message that is stored as an object or a file of its own.
pub(super) trait Stored: Message + Default {
    /// Format number of its writer.
    fn format(&self) -> u32;
    /// Version of Millpond that wrote it.
    fn written_by(&self) -> &str;
}

/// Encodes a message and adds its checksum.
pub(super) fn seal(message: &impl Stored) -> Bytes {
    let mut bytes = message.encode_to_vec();
    let checksum = sha256(&bytes);
    bytes.extend(checksum_key());
    bytes.extend(checksum);
    bytes.into()
}

/// Checks the checksum and the format, and decodes. `object` names the bytes in errors.
///
/// # Errors
/// [`Error::Damaged`] and [`Error::TooNew`].
pub(super) fn unseal<M: Stored>(object: &str, bytes: &[u8]) -> Result<M, Error> {
    let damaged = |reason: String| Error::Damaged {
        object: object.to_string(),
        reason,
    };
    let (content, checksum) = bytes
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .and_then(|end| {
            Some((
                bytes[..end].strip_suffix(checksum_key().as_slice())?,
                &bytes[end..],
            ))
        })
        .ok_or_else(|| damaged(format!("its {} bytes do not end with a checksum", bytes.len())))?;
    if sha256(content) != checksum {
        return Err(damaged("its checksum does not fit its content".into()));
    }
    let message = M::decode(content).map_err(|error| damaged(error.to_string()))?;
    if message.format() > FORMAT {
        let (format, written_by) = (message.format(), message.written_by().to_string());
        return Err(Error::TooNew {
            object: object.to_string(),
            format,
            written_by,
        });
    }
    Ok(message)
}

/// SHA-256 of some bytes.
pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// What stands between the content and the checksum: number, type and length of the checksum's field.
fn checksum_key() -> Vec<u8> {
    let mut key = Vec::with_capacity(2);
    encode_key(CHECKSUM_FIELD, WireType::LengthDelimited, &mut key);
    encode_varint(CHECKSUM_BYTES as u64, &mut key);
    key
}

macro_rules! stored {
    ($($message:ty),+) => {
        $(impl Stored for $message {
            fn format(&self) -> u32 {
                self.format
            }

            fn written_by(&self) -> &str {
                &self.written_by
            }
        })+
    };
}

stored!(Entry, Snapshot, Backup);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Entry {
        Entry {
            format: FORMAT,
            writer_id: "w".into(),
            nonce: "n".into(),
            written_at_ms: 5,
            ..Entry::default()
        }
    }

    #[test]
    fn what_was_sealed_comes_back_and_is_still_a_message() {
        let bytes = seal(&entry());
        assert_eq!(unseal::<Entry>("x", &bytes).unwrap(), entry());
        assert_eq!(
            Entry::decode(bytes).unwrap(),
            entry(),
            "the checksum is a field that other readers skip"
        );
    }

    #[test]
    fn a_newer_format_is_told_apart_from_damage() {
        let newer = Entry {
            format: FORMAT + 1,
            written_by: "9.9.9".into(),
            ..entry()
        };
        let error = unseal::<Entry>("catalog/log/v1", &seal(&newer)).unwrap_err();
        assert!(
            matches!(&error, Error::TooNew { format, written_by, .. }
            if *format == FORMAT + 1 && written_by == "9.9.9"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn every_truncation_and_every_flipped_bit_is_damage(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let good = seal(&entry());
            let at = at.index(good.len());
            let mut flipped = good.to_vec();
            flipped[at] ^= 1 << bit;
            for bad in [&good[..at], &flipped] {
                let error = unseal::<Entry>("catalog/log/v1", bad).unwrap_err();
                prop_assert!(matches!(&error, Error::Damaged { object, .. } if object == "catalog/log/v1"), "{error}");
            }
        }
    }
}
