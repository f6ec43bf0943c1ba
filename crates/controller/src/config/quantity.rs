//! Quantities as people write them.

use serde::Deserialize;

/// A number of bytes, written `512MiB`, `8GiB`, `2GB` or plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub u64);

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let scale = match unit.trim() {
            "" | "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => 0,
        };
        match number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(scale))
        {
            Some(bytes) if bytes >= 6 << 20 => Ok(Bytes(bytes)),
            Some(bytes) if scale > 0 => Err(format!(
                "{bytes} bytes is less than 6MiB, which no engine accepts"
            )),
            _ => Err(format!(
                "{text:?} is not a size: write it as \"8GiB\" or \"512MiB\""
            )),
        }
    }
}

/// A share of CPUs in thousandths, written `2` or `2.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Cpus(pub u64);

impl TryFrom<f64> for Cpus {
    type Error = String;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie between 0.01 and 1024 just before"
    )]
    fn try_from(cpus: f64) -> Result<Self, String> {
        if (0.01..=1024.0).contains(&cpus) {
            Ok(Cpus((cpus * 1000.0) as u64))
        } else {
            Err(format!("{cpus} CPUs: a number from 0.01 to 1024 is needed"))
        }
    }
}
