//! Rows as text: tab separated, one line each, like the well-known file.
//!
//! No field holds a tab, a quote or a line end, so none is quoted.

use super::customer::{COLUMNS, Customer, Income};

/// Bytes of a usual line, to size buffers.
const LINE_BYTES: usize = 110;

/// The line with the names of the columns.
pub(super) fn header() -> Vec<u8> {
    let mut line = COLUMNS.join("\t").into_bytes();
    line.push(b'\n');
    line
}

/// Lines of a block of rows.
pub(super) fn lines(rows: &[Customer]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * LINE_BYTES);
    rows.iter().for_each(|row| push_line(&mut out, row));
    out
}

fn push_line(out: &mut Vec<u8>, row: &Customer) {
    push_number(out, row.id);
    push_field(out, |out| push_number(out, u32::from(row.year_birth)));
    push_field(out, |out| out.extend_from_slice(row.education.as_bytes()));
    push_field(out, |out| out.extend_from_slice(row.marital_status.as_bytes()));
    push_field(out, |out| push_income(out, row.income));
    push_field(out, |out| push_number(out, u32::from(row.kids)));
    push_field(out, |out| push_number(out, u32::from(row.teens)));
    push_field(out, |out| out.extend_from_slice(row.enrolment_date().as_bytes()));
    for number in row.numbers_after_date() {
        push_field(out, |out| push_number(out, number));
    }
    out.push(b'\n');
}

fn push_field(out: &mut Vec<u8>, push: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'\t');
    push(out);
}

/// The income as it was typed, dirt included.
pub(super) fn push_income(out: &mut Vec<u8>, income: Income) {
    match income {
        Income::Missing => {}
        Income::Plain(amount) => push_number(out, amount),
        Income::Separated(amount) => push_separated(out, amount),
        Income::SpaceBefore(amount) => {
            out.push(b' ');
            push_number(out, amount);
        }
        Income::SpaceAfter(amount) => {
            push_number(out, amount);
            out.push(b' ');
        }
    }
}

/// `58,138`
fn push_separated(out: &mut Vec<u8>, amount: u32) {
    if amount < 1000 {
        return push_number(out, amount);
    }
    push_separated(out, amount / 1000);
    out.push(b',');
    let last = amount % 1000;
    out.extend([last / 100, last / 10 % 10, last % 10].map(digit));
}

/// Decimal digits. Written out because formatting machinery takes longer than drawing the number.
fn push_number(out: &mut Vec<u8>, mut number: u32) {
    if number < 10 {
        return out.push(digit(number));
    }
    let mut digits = [0; 10];
    let mut start = digits.len();
    while number > 0 {
        start -= 1;
        digits[start] = digit(number % 10);
        number /= 10;
    }
    out.extend_from_slice(&digits[start..]);
}

fn digit(value: u32) -> u8 {
    b'0' + value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn income(income: Income) -> String {
        let mut out = Vec::new();
        push_income(&mut out, income);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 9, 10, 99, 100, 1234, 101_010, u32::MAX] {
            assert_eq!(income(Income::Plain(number)), number.to_string());
        }
    }

    #[test]
    fn income_is_written_as_it_was_typed() {
        assert_eq!(income(Income::Missing), "");
        assert_eq!(income(Income::Separated(58_138)), "58,138");
        assert_eq!(income(Income::Separated(1_007)), "1,007");
        assert_eq!(income(Income::Separated(999)), "999");
        assert_eq!(income(Income::SpaceBefore(58_138)), " 58138");
        assert_eq!(income(Income::SpaceAfter(58_138)), "58138 ");
    }
}
