//! Durations as Go prints them: `10s`, `1m30s`, `500ms`.

/// Whole seconds, rounded up.
pub(super) fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is no duration, as 10s or 1m30s");
    let mut rest = text;
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * scale;
        rest = after;
    }
    /// A day: nobody waits longer for a check.
    const MOST: f64 = 86_400.0;
    if total > MOST {
        return Err(format!("{text:?} is longer than a day"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie between 0 and a day just before"
    )]
    Ok(total.ceil() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_prints_is_read_and_rounded_up() {
        let cases = [
            ("10s", 10),
            ("1m30s", 90),
            ("1h0m0s", 3600),
            ("500ms", 1),
            ("0s", 0),
            ("1.5s", 2),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "10", "s", "1x", "-1s", "1..2s", "999h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
