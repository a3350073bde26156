//! The value that Debezium puts where it does not know one, because it did not change and the log has it not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::cell::hex;
use super::slot::{Slot, Texts};

/// The value in the forms that it has by type of column: as a text, as bytes, and as the only item of a list.
#[derive(Debug)]
pub(super) struct Unavailable {
    text: String,
    base64: String,
    hex: String,
    lists: [String; 2],
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
        let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
        Self {
            base64: STANDARD.encode(bytes),
            hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            lists: [format!("[\"{as_text}\"]"), format!("[{}]", numbers.join(","))],
            text: as_text,
        }
    }

    pub(super) fn is_bytes(&self, bytes: &[u8]) -> bool {
        bytes == self.text.as_bytes()
    }

    pub(super) fn is(&self, slot: Slot, texts: Texts<'_>) -> bool {
        match slot {
            Slot::Text(piece) => {
                let text = texts.get(piece);
                [&self.text, &self.base64, &self.hex]
                    .into_iter()
                    .any(|form| form == text)
            }
            Slot::Nested(piece) => {
                let text = texts.get(piece);
                self.lists.iter().any(|form| form == text)
            }
            _ => false,
        }
    }
}
