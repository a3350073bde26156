//! The value that Debezium puts where it does not know one, because it did not change and the log has it not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use md5::{Digest, Md5};

use super::cell::hex;
use super::slot::{Slot, Texts};

/// A point that Debezium writes whatever the text is.
const GEOMETRY: &str = r#"{"wkb":"AQEAACDmEAAAAAAA/IPXl8EAAAD8g9eXwQ==","srid":4326}"#;
/// What may stand between the parts of a value, and the length of one that is looked at without it.
const BLANKS: [char; 4] = [' ', '\n', '\r', '\t'];
const LONGEST: usize = 1 << 12;

/// The value in the forms that it has by type of column, as Debezium's [`UnchangedToastedPlaceholder`] makes them.
///
/// [`UnchangedToastedPlaceholder`]: https://github.com/debezium/debezium/tree/main/debezium-connector-postgres
#[derive(Debug)]
pub(super) struct Unavailable {
    text: String,
    /// As a text, as bytes, and as a map in a text.
    texts: [String; 4],
    /// As the only item of a list, as the bytes in one, as a map and as a point.
    nested: [String; 7],
}

impl Unavailable {
    /// A value that starts with `hex:` stands for bytes.
    pub(super) fn new(text: &str) -> Self {
        let decoded = text.strip_prefix("hex:").and_then(|text| {
            let mut bytes = Vec::new();
            hex(text, &mut bytes).map(|()| bytes)
        });
        let bytes = decoded.as_deref().unwrap_or(text.as_bytes());
        let as_text = String::from_utf8_lossy(bytes).into_owned();
        let numbers = |end: &str| {
            let numbers: Vec<_> = bytes.iter().map(|byte| format!("{byte}{end}")).collect();
            format!("[{}]", numbers.join(","))
        };
        let base64 = STANDARD.encode(bytes);
        let hash: [u8; 16] = Md5::digest(bytes).into();
        let uuid = uuid::Builder::from_md5_bytes(hash).into_uuid();
        let map = format!("{{\"{as_text}\":\"{as_text}\"}}");
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            nested: [
                format!("[\"{as_text}\"]"),
                format!("[\"{base64}\"]"),
                format!("[\"{uuid}\"]"),
                numbers(""),
                numbers(".0"),
                map.clone(),
                GEOMETRY.to_owned(),
            ],
            texts: [as_text.clone(), base64, hex, map],
            text: as_text,
        }
    }

    pub(super) fn is_bytes(&self, bytes: &[u8]) -> bool {
        bytes == self.text.as_bytes()
    }

    #[inline]
    pub(super) fn is(&self, slot: Slot, texts: Texts<'_>) -> bool {
        match slot {
            Slot::Text(piece) => {
                let text = texts.get(piece);
                self.texts.iter().any(|form| form == text)
            }
            Slot::Nested(piece) => {
                let text = texts.get(piece);
                let is = |text: &str| self.nested.iter().any(|form| form == text);
                is(text) || text.len() <= LONGEST && text.contains(BLANKS) && is(&text.replace(BLANKS, ""))
            }
            _ => false,
        }
    }
}
