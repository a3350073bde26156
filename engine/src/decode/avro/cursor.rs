//! A place in the bytes of an Avro value.

use super::super::rejected::{Reason, Rejected};

/// See the module.
#[derive(Debug)]
pub(super) struct Cursor<'m> {
    bytes: &'m [u8],
    at: usize,
}

impl<'m> Cursor<'m> {
    pub(super) fn new(bytes: &'m [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that are left.
    pub(super) fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Takes so many bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'m [u8], Rejected> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => Err(self.wrong(&format!("{count} bytes are missing, {} are left", rest.len()))),
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Rejected> {
        Ok(self.take(1)?[0])
    }

    /// A whole number of up to 64 bits, zigzag and in groups of seven.
    pub(super) fn long(&mut self) -> Result<i64, Rejected> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(self.wrong("a whole number of more than 64 bits"))
    }

    /// A length and so many bytes.
    pub(super) fn block(&mut self) -> Result<&'m [u8], Rejected> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(self.wrong(&format!("a length of {length}"))),
        }
    }

    pub(super) fn four(&mut self) -> Result<[u8; 4], Rejected> {
        self.take(4)?.try_into().map_err(|_| self.wrong("4 bytes"))
    }

    pub(super) fn eight(&mut self) -> Result<[u8; 8], Rejected> {
        self.take(8)?.try_into().map_err(|_| self.wrong("8 bytes"))
    }

    #[cold]
    pub(super) fn wrong(&self, what: &str) -> Rejected {
        Rejected::new(Reason::NotAvro, format!("at byte {}: {what}", self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_zigzag() {
        let long = |bytes: &[u8]| Cursor::new(bytes).long().ok();
        assert_eq!(long(&[0]), Some(0));
        assert_eq!(long(&[1]), Some(-1));
        assert_eq!(long(&[0x80, 1]), Some(64));
        let all = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(long(&all), Some(i64::MIN));
        let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(long(&most), Some(i64::MAX));
        assert_eq!(long(&[0xff; 10]), None);
        assert_eq!(long(&[0x80]), None);
    }

    #[test]
    fn lengths_are_checked() {
        assert_eq!(Cursor::new(&[4, 1, 2]).block().ok(), Some(&[1, 2][..]));
        assert!(Cursor::new(&[6, 1, 2]).block().is_err());
        assert!(Cursor::new(&[1, 1, 2]).block().is_err());
    }
}
