//! A message as its decoder reads it: with the frame of its schema in front.
//!
//! Newer serializers of Confluent leave the message alone and put the frame into a header, one for the key and one for the
//! value (`HeaderSchemaIdSerializer`). Put in front, both are read in one way.

use std::borrow::Cow;

use millpond_engine::decode::Message;
use millpond_proto::stream::{DeadLetter, Header};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

/// Headers with the frames.
const OF_KEY: &str = "__key_schema_id";
const OF_VALUE: &str = "__value_schema_id";

/// Key and value of a message, each behind its frame.
#[derive(Debug, Default)]
pub(super) struct Framed<'m> {
    key: Option<Cow<'m, [u8]>>,
    value: Option<Cow<'m, [u8]>>,
}

impl<'m> Framed<'m> {
    /// Of a topic; headers are only looked at for a decoder that heeds frames.
    pub(super) fn of(message: &'m BorrowedMessage<'_>, heeds_frames: bool) -> Self {
        let headers = heeds_frames.then(|| message.headers()).flatten();
        let headers = headers.into_iter().flat_map(|headers| headers.iter());
        let headers = headers.filter_map(|header| Some((header.key, header.value?)));
        Self::new(message.key(), message.payload(), headers)
    }

    /// Of a message that was kept as a letter.
    pub(super) fn of_letter(letter: &'m DeadLetter, heeds_frames: bool) -> Self {
        let headers = letter.headers.iter().filter(|_| heeds_frames);
        let headers = headers.filter_map(|Header { key, value }| Some((key.as_str(), value.as_deref()?)));
        Self::new(letter.key.as_deref(), letter.value.as_deref(), headers)
    }

    fn new<'h>(
        key: Option<&'m [u8]>,
        value: Option<&'m [u8]>,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    ) -> Self {
        let mut framed = Self {
            key: key.map(Cow::Borrowed),
            value: value.map(Cow::Borrowed),
        };
        for (name, frame) in headers {
            // Of several headers the last one counts.
            let in_front = |bare: &[u8]| Cow::Owned([frame, bare].concat());
            match name {
                OF_KEY => framed.key = key.map(in_front),
                OF_VALUE => framed.value = value.map(in_front),
                _ => {}
            }
        }
        framed
    }

    /// For the decoder.
    pub(super) fn message(&self) -> Message<'_> {
        Message {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(headers: &[(&str, Option<&[u8]>)]) -> DeadLetter {
        let header = |(key, value): &(&str, Option<&[u8]>)| Header {
            key: (*key).to_string(),
            value: value.map(<[u8]>::to_vec),
        };
        DeadLetter {
            key: Some(b"k".to_vec()),
            value: Some(b"value".to_vec()),
            headers: headers.iter().map(header).collect(),
            ..Default::default()
        }
    }

    fn framed(letter: &DeadLetter, heeds_frames: bool) -> (Vec<u8>, Vec<u8>) {
        let framed = Framed::of_letter(letter, heeds_frames);
        let message = framed.message();
        (message.key.unwrap().to_vec(), message.value.unwrap().to_vec())
    }

    #[test]
    fn frames_of_headers_come_in_front() {
        let both = letter(&[
            ("other", Some(b"x")),
            ("__value_schema_id", Some(b"old")),
            ("__key_schema_id", Some(b"<1>")),
            ("__value_schema_id", Some(b"<2>")),
        ]);
        assert_eq!(framed(&both, true), (b"<1>k".to_vec(), b"<2>value".to_vec()));
        assert_eq!(framed(&both, false), (b"k".to_vec(), b"value".to_vec()));
        let none = letter(&[("__value_schema_id", None)]);
        assert_eq!(framed(&none, true), (b"k".to_vec(), b"value".to_vec()));
    }

    #[test]
    fn a_tombstone_stays_one() {
        let gone = DeadLetter {
            value: None,
            ..letter(&[("__value_schema_id", Some(b"<2>"))])
        };
        assert!(Framed::of_letter(&gone, true).message().value.is_none());
    }
}
