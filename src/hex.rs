//! Bytes as lower-case hex digits.
//!
//! Guarantees: it does not use `std::fmt`, because every request passes through here.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Two lower-case hex digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = vec![0; 2 * bytes.len()];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    String::from_utf8(digits).expect("hex digits are ASCII")
}

/// The bytes of `2 N` hex digits of either case. None for any other text.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_decoded_and_other_text_is_refused() {
        let bytes: [u8; 32] = std::array::from_fn(|index| (index * 37) as u8);
        assert_eq!(unhex(&hex(&bytes)), Some(bytes));
        assert_eq!(unhex(&hex(&bytes).to_uppercase()), Some(bytes));
        assert_eq!(hex(&[0, 0x0f, 0xf0, 0xff]), "000ff0ff");
        assert_eq!(unhex("000ff0ff"), Some([0, 0x0f, 0xf0, 0xff]));
        for text in ["", "00", &"g".repeat(64), &"0".repeat(63), &"0".repeat(65), &"é".repeat(32)]
        {
            assert_eq!(unhex::<32>(text), None, "{text}");
        }
        assert_eq!(unhex::<4>("+00ff0ff"), None);
    }
}
