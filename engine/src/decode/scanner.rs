//! Walks through the JSON of a message: name by name, and value by value into slots.
//!
//! A caller says for each name what it wants of the value: a slot, the object inside, or nothing. What is skipped is
//! checked but never built.

use jiter::{Jiter, JiterError, Peek};

use super::rejected::{Reason, Rejected};
use super::slot::{Piece, Slot};
use super::spell;

/// Texts that are used again for each message.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Texts that had escapes, and the key of the message.
    pub(super) text: String,
    /// For the reader of JSON.
    tape: Vec<u8>,
}

impl Scratch {
    /// Most bytes that are kept from one message to the next.
    const KEPT_MAX: usize = 1 << 20;

    #[inline]
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(Self::KEPT_MAX);
        self.tape.clear();
        self.tape.shrink_to(Self::KEPT_MAX);
    }
}

/// A place in the JSON of a message.
#[derive(Debug)]
pub(super) struct Scanner<'a, 's> {
    json: Jiter<'a>,
    text: &'a str,
    scratch: &'s mut Scratch,
    /// Where in the text the JSON starts.
    base: usize,
    /// True if slots may not point into the text, which is not the value of the message.
    copies: bool,
}

impl<'a, 's> Scanner<'a, 's> {
    /// At the start of the value of a message.
    #[inline]
    pub(super) fn new(text: &'a str, scratch: &'s mut Scratch) -> Self {
        let tape = std::mem::take(&mut scratch.tape);
        Self {
            json: Jiter::with_tape(text.as_bytes(), tape),
            text,
            scratch,
            base: 0,
            copies: false,
        }
    }

    /// At the start of a value that was passed over before.
    pub(super) fn part(text: &'a str, piece: Piece, scratch: &'s mut Scratch) -> Self {
        let range = piece.range();
        let start = range.start;
        let part = text.get(range).unwrap_or_default();
        Self {
            text,
            base: start,
            ..Self::new(part, scratch)
        }
    }

    /// At the start of another text; slots get copies of it.
    pub(super) fn copying(text: &'a str, scratch: &'s mut Scratch) -> Self {
        Self {
            copies: true,
            ..Self::new(text, scratch)
        }
    }

    /// Checks that nothing follows, and gives the scratch texts back.
    pub(super) fn finish(mut self) -> Result<(), Rejected> {
        let finished = self.json.finish().map_err(|error| not_json(&error));
        self.scratch.tape = self.json.into_tape();
        finished
    }

    /// True if an object comes next.
    #[inline]
    pub(super) fn at_object(&mut self) -> Result<bool, Rejected> {
        Ok(self.peek()? == Peek::Object)
    }

    /// True if a list comes next.
    pub(super) fn at_list(&mut self) -> Result<bool, Rejected> {
        Ok(self.peek()? == Peek::Array)
    }

    /// True if null came next; then it is behind us.
    #[inline]
    pub(super) fn take_null(&mut self) -> Result<bool, Rejected> {
        let is_null = self.peek()? == Peek::Null;
        if is_null {
            self.json.known_null().map_err(|error| not_json(&error))?;
        }
        Ok(is_null)
    }

    /// Enters an object; `pick` turns its first name into what the caller wants of the value.
    #[inline]
    pub(super) fn first<M>(&mut self, pick: impl FnOnce(&str) -> M) -> Result<Option<M>, Rejected> {
        let peek = self.peek()?;
        if peek != Peek::Object {
            let detail = format!("expected an object at byte {}", self.json.current_index());
            return Err(Rejected::new(Reason::NotObject, detail));
        }
        let name = self.json.known_object().map_err(|error| not_json(&error))?;
        Ok(name.map(pick))
    }

    /// Goes to the next name of an object, or leaves it.
    #[inline]
    pub(super) fn next<M>(&mut self, pick: impl FnOnce(&str) -> M) -> Result<Option<M>, Rejected> {
        let name = self.json.next_key().map_err(|error| not_json(&error))?;
        Ok(name.map(pick))
    }

    /// Enters a list. True if there is a value.
    pub(super) fn first_value(&mut self) -> Result<bool, Rejected> {
        let next = self.json.next_array().map_err(|error| not_json(&error))?;
        Ok(next.is_some())
    }

    /// Goes to the next value of a list. False if there is none, and the list is left.
    pub(super) fn next_value(&mut self) -> Result<bool, Rejected> {
        let next = self.json.array_step().map_err(|error| not_json(&error))?;
        Ok(next.is_some())
    }

    /// Takes all values of a list.
    pub(super) fn slots(&mut self, slots: &mut Vec<Slot>) -> Result<(), Rejected> {
        let mut has_next = self.first_value()?;
        while has_next {
            slots.push(self.slot()?);
            has_next = self.next_value()?;
        }
        Ok(())
    }

    /// Passes over a value.
    #[inline]
    pub(super) fn skip(&mut self) -> Result<(), Rejected> {
        self.json.next_skip().map_err(|error| not_json(&error))
    }

    /// Takes a value.
    #[inline]
    pub(super) fn slot(&mut self) -> Result<Slot, Rejected> {
        let peek = self.peek()?;
        let start = self.json.current_index();
        let slot = match peek {
            Peek::String => return self.text(),
            Peek::Null => self.json.known_null().map(|()| Slot::Null),
            Peek::True | Peek::False => self.json.known_bool(peek).map(Slot::Bool),
            Peek::Array | Peek::Object => {
                let skipped = self.json.known_skip(peek);
                skipped.map(|()| Slot::Nested(self.piece(start)))
            }
            _ => {
                let number = self.json.known_number_bytes(peek).map(|_| ());
                number.map(|()| Slot::Number(self.piece(start)))
            }
        };
        slot.map_err(|error| not_json(&error))
    }

    /// Takes a text. One without escapes is a piece of the message.
    #[inline]
    fn text(&mut self) -> Result<Slot, Rejected> {
        let message = self.text.as_bytes();
        let text = self.json.known_str().map_err(|error| not_json(&error))?;
        let piece = if !self.copies && message.as_ptr_range().contains(&text.as_ptr()) {
            let start = text.as_ptr().addr() - message.as_ptr().addr();
            Piece::of_message(start, start + text.len())
        } else {
            Piece::copy(text, &mut self.scratch.text)
        };
        Ok(Slot::Text(piece))
    }

    /// What was passed since `start`.
    #[inline]
    fn piece(&mut self, start: usize) -> Piece {
        let (start, end) = (self.base + start, self.base + self.json.current_index());
        if self.copies {
            let text = self.text.get(start..end).unwrap_or_default();
            Piece::copy(text, &mut self.scratch.text)
        } else {
            Piece::of_message(start, end)
        }
    }

    #[inline]
    fn peek(&mut self) -> Result<Peek, Rejected> {
        self.json.peek().map_err(|error| not_json(&error))
    }
}

/// The text of a value.
#[inline]
pub(super) fn text_of(value: &[u8]) -> Result<&str, Rejected> {
    if i32::try_from(value.len()).is_err() {
        let detail = format!("{} bytes", value.len());
        return Err(Rejected::new(Reason::TooLarge, detail));
    }
    simdutf8::compat::from_utf8(value).map_err(|error| {
        let detail = format!("byte {} is no UTF-8", error.valid_up_to());
        Rejected::new(Reason::NotUtf8, detail)
    })
}

/// The text with escapes for control characters in its strings; none if there are no such characters.
#[cold]
pub(super) fn escaped(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut escaped = String::new();
    // What is before `start` is written.
    let (mut start, mut at) = (0, 0);
    let mut in_string = false;
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'"' => in_string = !in_string,
            // A quote behind it ends nothing.
            b'\\' if in_string => at += 1,
            byte if in_string && byte < b' ' => {
                escaped.push_str(&text[start..at]);
                spell::escape(char::from(byte), &mut escaped);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    escaped.push_str(&text[start..]);
    (start > 0).then_some(escaped)
}

#[cold]
fn not_json(error: &JiterError) -> Rejected {
    let detail = format!("at byte {}: {}", error.index, error.error_type);
    Rejected::new(Reason::NotJson, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_characters_in_strings_get_escapes() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(escaped("{\"a\":\"b\tc\u{1}\"}"), some(r#"{"a":"b\tc\u0001"}"#));
        assert_eq!(
            escaped("{\n\"é\n\": \"\u{7f}\"}"),
            some("{\n\"é\\n\": \"\u{7f}\"}")
        );
        assert_eq!(escaped("[\"\\\"\r\",\n1]"), some("[\"\\\"\\r\",\n1]"));
        for text in ["", "{\n\t\"a\": 1\n}", r#""\"#, r#"{"a":"b\tc"}"#, "\"é"] {
            assert_eq!(escaped(text), None, "{text:?}");
        }
    }
}
