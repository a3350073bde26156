//! Decimal numbers as Kafka Connect and Debezium write them to JSON: a whole number in base64, whose scale is in the schema of
//! the message or beside it.

use super::cell::{Misfit, base64};
use super::decimal;
use super::rejected::Rejected;
use super::scanner::{Scanner, Scratch};
use super::slot::{Slot, Texts};
use super::spell;

/// Greatest scale, before or behind the point.
pub(super) const SCALE_MAX: i32 = 1000;

/// A decimal number.
#[derive(Debug)]
pub(super) struct Scaled {
    /// The number without its point, in two's complement, the greatest byte first.
    unscaled: Vec<u8>,
    /// How many of its digits stand behind the point.
    scale: i32,
}

impl Scaled {
    /// A number whose scale the schema says.
    ///
    /// # Errors
    /// A text that is no base64.
    pub(super) fn of_text(text: &str, scale: i32) -> Result<Self, Misfit> {
        let unscaled = base64(text).ok_or(Misfit::Type)?;
        Ok(Self { unscaled, scale })
    }

    /// A number that brings its scale: `{"scale": 2, "value": "BNI="}`.
    ///
    /// # Errors
    /// Any other object or list.
    #[cold]
    pub(super) fn of_object(text: &str) -> Result<Self, Misfit> {
        let mut scratch = Scratch::default();
        let mut scanner = Scanner::new(text, &mut scratch);
        let (scale, value) = scale_and_value(&mut scanner).map_err(|_| Misfit::Type)?;
        scanner.finish().map_err(|_| Misfit::Type)?;
        let texts = Texts {
            message: text,
            scratch: &scratch.text,
        };
        let (Slot::Number(scale), Slot::Text(value)) = (scale, value) else {
            return Err(Misfit::Type);
        };
        let scale: i32 = texts.get(scale).parse().map_err(|_| Misfit::Type)?;
        Self::of_text(texts.get(value), scale)
    }

    /// The number at another scale, without its point. Digits beyond that scale are rounded.
    ///
    /// # Errors
    /// No bytes, or more digits than a column can have.
    pub(super) fn at(&self, scale: u8) -> Result<i128, Misfit> {
        decimal::rescale(decimal::from_bytes(&self.unscaled)?, self.scale, i32::from(scale))
    }

    /// The number with all its digits.
    ///
    /// # Errors
    /// No bytes, or far too many digits.
    pub(super) fn spell(&self) -> Result<String, Misfit> {
        if !(-SCALE_MAX..=SCALE_MAX).contains(&self.scale) {
            return Err(Misfit::Range);
        }
        let mut text = String::new();
        spell::decimal_of_bytes(&self.unscaled, self.scale, &mut text)?;
        Ok(text)
    }
}

fn scale_and_value(scanner: &mut Scanner<'_, '_>) -> Result<(Slot, Slot), Rejected> {
    let (mut scale, mut value) = (Slot::Absent, Slot::Absent);
    let pick = |name: &str| (name == "scale", name == "value");
    let mut member = scanner.first(pick)?;
    while let Some(which) = member {
        match which {
            (true, _) => scale = scanner.slot()?,
            (_, true) => value = scanner.slot()?,
            _ => scanner.skip()?,
        }
        member = scanner.next(pick)?;
    }
    Ok((scale, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_bring_their_scale() {
        let spelled = |text: &str| Scaled::of_object(text).and_then(|number| number.spell());
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(spelled(r#"{"scale":2,"value":"BNI="}"#), ok("12.34"));
        assert_eq!(spelled(r#"{"value":"-y4=","more":[1],"scale":0}"#), ok("-1234"));
        assert_eq!(spelled(r#"{"scale":-1,"value":"BNI"}"#), ok("12340"));
        assert_eq!(spelled(r#"{"scale":1001,"value":"BNI="}"#), Err(Misfit::Range));
        for other in [
            "[2]",
            r#"{"scale":2}"#,
            r#"{"scale":"2","value":"BNI="}"#,
            r#"{"scale":1.5,"value":"BNI="}"#,
            r#"{"scale":2,"value":"?"}"#,
            r#"{"scale":2,"value":""}"#,
        ] {
            assert_eq!(spelled(other), Err(Misfit::Type), "{other}");
        }
        let number = Scaled::of_text("BNI=", 2).unwrap();
        assert_eq!((number.at(1), number.at(3)), (Ok(123), Ok(12_340)));
    }
}
