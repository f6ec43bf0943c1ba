//! Numbers of bytes as people write them.

use std::num::NonZeroU64;

/// Reads `20MB`: a whole number from 1 and one of the units B, KB, MB, GB, KiB, MiB, GiB.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<NonZeroU64> {
    let (number, unit) = split(text);
    let number: u64 = number.parse().ok()?;
    NonZeroU64::new(number.checked_mul(factor(unit)?)?)
}

/// The digits and what follows them.
pub(crate) fn split(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(digits).unwrap_or((text, ""))
}

pub(crate) fn factor(unit: &str) -> Option<u64> {
    match unit {
        "B" => Some(1),
        "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_with_units_and_nothing_else() {
        let read = |text| parse_bytes(text).map(NonZeroU64::get);
        assert_eq!(read("20MB"), Some(20_000_000));
        assert_eq!(read("1KiB"), Some(1024));
        for bad in [
            "",
            "MB",
            "20",
            "0B",
            "20mb",
            "-1B",
            "1.5MB",
            "99999999999GiB",
            "1 MB",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
