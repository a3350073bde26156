//! How the text of a value becomes a typed value, one implementation for each type.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use url::Url;

use super::address::Address;
use super::key::Kind;

/// A value as it was written, before it is understood.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// A single value; numbers and flags of the file are given as text.
    One(String),
    /// An array of the file.
    Many(Vec<String>),
}

impl Written {
    /// The single value, or `None` for an array.
    pub(super) fn one(&self) -> Option<&str> {
        match self {
            Self::One(text) => Some(text.trim()),
            Self::Many(_) => None,
        }
    }

    /// How it is shown to a person.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Many(texts) => texts.join(","),
        }
    }
}

/// A type that a key can have.
pub(crate) trait Setting: Sized {
    /// What the documentation calls it.
    const KIND: Kind;

    /// Reads a value, or gives `None` if it does not have the form of [`Setting::KIND`].
    fn read(written: &Written) -> Option<Self>;
}

/// A number above 0 and up to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Fraction(f64);

impl Fraction {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// Reads a duration such as `30s`, `5min`, `1h30min` or `250ms`; `0` needs no unit. Negative ones are refused.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok())
}

impl Setting for String {
    const KIND: Kind = Kind::Text;

    fn read(written: &Written) -> Option<Self> {
        written.one().map(str::to_owned)
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind::Path;

    fn read(written: &Written) -> Option<Self> {
        written.one().map(Self::from)
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Flag;

    fn read(written: &Written) -> Option<Self> {
        match written.one()? {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        }
    }
}

impl Setting for usize {
    const KIND: Kind = Kind::Integer;

    fn read(written: &Written) -> Option<Self> {
        written.one()?.parse().ok()
    }
}

impl Setting for u16 {
    const KIND: Kind = Kind::Port;

    fn read(written: &Written) -> Option<Self> {
        written.one()?.parse().ok()
    }
}

impl Setting for Fraction {
    const KIND: Kind = Kind::Fraction;

    fn read(written: &Written) -> Option<Self> {
        let number: f64 = written.one()?.parse().ok()?;
        (number > 0.0 && number <= 1.0).then_some(Self(number))
    }
}

impl Setting for ByteSize {
    const KIND: Kind = Kind::Bytes;

    fn read(written: &Written) -> Option<Self> {
        written.one()?.parse().ok()
    }
}

impl Setting for Duration {
    const KIND: Kind = Kind::Duration;

    fn read(written: &Written) -> Option<Self> {
        parse_duration(written.one()?)
    }
}

impl Setting for Address {
    const KIND: Kind = Kind::Address;

    fn read(written: &Written) -> Option<Self> {
        written.one()?.parse().ok()
    }
}

impl Setting for Url {
    const KIND: Kind = Kind::Url;

    fn read(written: &Written) -> Option<Self> {
        Self::parse(written.one()?)
            .ok()
            .filter(|url| !url.cannot_be_a_base())
    }
}

impl Setting for Vec<String> {
    const KIND: Kind = Kind::List;

    fn read(written: &Written) -> Option<Self> {
        Some(match written {
            Written::One(text) => text
                .split(',')
                .map(str::trim)
                .filter(|t| !t.is_empty())
                .map(str::to_owned)
                .collect(),
            Written::Many(texts) => texts.clone(),
        })
    }
}

/// A type with a value that stands for "not set".
pub(crate) trait Absent {
    /// Whether this value stands for "not set".
    fn is_absent(&self) -> bool;
}

impl Absent for String {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Absent for PathBuf {
    fn is_absent(&self) -> bool {
        self.as_os_str().is_empty()
    }
}

impl Absent for usize {
    fn is_absent(&self) -> bool {
        *self == 0
    }
}

impl Absent for ByteSize {
    fn is_absent(&self) -> bool {
        self.as_u64() == 0
    }
}

impl Absent for Duration {
    fn is_absent(&self) -> bool {
        self.is_zero()
    }
}

impl Absent for Url {
    /// An empty text is no URL at all, and is taken as absent before it is read.
    fn is_absent(&self) -> bool {
        false
    }
}

impl<T: Setting + Absent> Setting for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(written: &Written) -> Option<Self> {
        if written.one().is_some_and(str::is_empty) {
            return Some(None);
        }
        T::read(written).map(|value| (!value.is_absent()).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(text: &str) -> Option<T> {
        T::read(&Written::One(text.to_owned()))
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, milliseconds) in [
            ("30s", Some(30_000)),
            ("10min", Some(600_000)),
            ("1h30min", Some(5_400_000)),
            ("250ms", Some(250)),
        ] {
            assert_eq!(read(text), milliseconds.map(Duration::from_millis), "{text}");
        }
        for text in ["30", "", "-5s", "soon", "5 parsecs", "99999999999999999999h"] {
            assert_eq!(read::<Duration>(text), None, "{text}");
        }
        assert_eq!(read::<Option<Duration>>("0s"), Some(None));
        assert_eq!(read::<Option<Duration>>("0"), Some(None));
    }

    #[test]
    fn sizes_take_both_kinds_of_units() {
        for (text, bytes) in [
            ("1024", 1024),
            ("1KiB", 1024),
            ("1.5 GiB", 3 << 29),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(read(text), Some(ByteSize::b(bytes)), "{text}");
        }
        for text in ["", "-1", "lots", "5 XB"] {
            assert_eq!(read::<ByteSize>(text), None, "{text}");
        }
    }

    #[test]
    fn lists_come_from_arrays_and_from_commas() {
        let expected = Some(vec!["/a".to_owned(), "/b".to_owned()]);
        assert_eq!(read("/a, /b,"), expected);
        assert_eq!(read::<Vec<String>>(""), Some(vec![]));
        assert_eq!(
            Vec::<String>::read(&Written::Many(vec!["/a,b".to_owned()])),
            Some(vec!["/a,b".to_owned()])
        );
    }

    #[test]
    fn an_array_is_no_single_value() {
        assert_eq!(String::read(&Written::Many(vec![])), None);
        assert_eq!(Option::<String>::read(&Written::Many(vec![])), None);
    }

    #[test]
    fn fractions_ports_and_flags_have_limits() {
        assert_eq!(read::<Fraction>("1").map(Fraction::get), Some(1.0));
        for text in ["0", "1.1", "-0.5", "NaN", "inf"] {
            assert_eq!(read::<Fraction>(text), None, "{text}");
        }
        assert_eq!(read::<u16>("65536"), None);
        assert_eq!(read::<bool>("TRUE"), None);
    }

    #[test]
    fn urls_need_a_scheme_and_a_place() {
        for text in [
            "s3://bucket/path",
            "file:///var/lib/millpond",
            "grpc+tls://host:1",
        ] {
            assert_eq!(
                read::<Url>(text).map(|url| url.to_string()),
                Some(text.to_owned())
            );
        }
        for text in ["/var/lib", "host:80", "mailto:a@b"] {
            assert_eq!(read::<Url>(text), None, "{text}");
        }
        assert_eq!(read::<Option<Url>>(""), Some(None));
    }
}
