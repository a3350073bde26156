//! Bits that say something of each number, made of 64 numbers at once.
//!
//! A loop that sets bit after bit is not one that compilers make fast. One that writes a byte for each number is, and
//! eight such bytes become bits with one multiplication.

use datafusion::arrow::buffer::BooleanBuffer;

/// Numbers of a word of bits.
const WORD: usize = u64::BITS as usize;
/// Times eight bytes that are 0 or 1: puts the lowest bit of the first byte at bit 56, that of the second at 57 and so on.
const GATHER: u64 = 0x0102_0408_1020_4080;

/// A bit for each number. `passes` says 1 or 0 and is asked in order.
pub(super) fn bits_of<N: Copy>(numbers: &[N], mut passes: impl FnMut(N) -> u8) -> BooleanBuffer {
    let (words, rest) = numbers.as_chunks::<WORD>();
    let mut bits: Vec<u64> = Vec::with_capacity(words.len() + 1);
    bits.extend(words.iter().map(|numbers| word(numbers, &mut passes)));
    let last = rest.iter().rev().map(|number| passes(*number));
    bits.push(last.fold(0, |word, bit| word << 1 | u64::from(bit)));
    BooleanBuffer::new(bits.into(), 0, numbers.len())
}

fn word<N: Copy>(numbers: &[N; WORD], passes: &mut impl FnMut(N) -> u8) -> u64 {
    let mut answers = [0; WORD];
    for (answer, number) in answers.iter_mut().zip(numbers) {
        *answer = passes(*number);
    }
    let (eights, _) = answers.as_chunks::<8>();
    let bytes = eights
        .iter()
        .map(|eight| u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56);
    bytes.rev().fold(0, |word, byte| word << 8 | byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_in_the_order_of_numbers() {
        for rows in [0, 1, 7, 63, 64, 65, 200] {
            let numbers: Vec<u16> = (0..rows).map(|row| row * 37 % 101).collect();
            let bits = bits_of(&numbers, |number| u8::from(number % 3 == 0));
            let expected: BooleanBuffer = numbers.iter().map(|number| number % 3 == 0).collect();
            assert_eq!(bits, expected, "{rows} rows");
        }
    }
}
