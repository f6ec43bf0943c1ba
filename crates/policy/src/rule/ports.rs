//! The ports of a line.

use std::fmt;
use std::ops::RangeInclusive;

use crate::target::parse_port;

/// A set of ports, 1 to 65535.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ports {
    /// 443 and 80: an allowing line that names no port.
    Web,
    /// 80: a line with a method or a path that names no port.
    Http,
    /// All of them.
    All,
    /// What the line says: sorted, apart from each other, not empty.
    Listed(Box<[RangeInclusive<u16>]>),
}

/// Why a text is not a port list. The words continue "`WORD` …".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PortsError {
    Empty,
    NotAPort,
    Reversed,
}

impl PortsError {
    pub(crate) fn words(self) -> &'static str {
        match self {
            PortsError::Empty => "names no port after the colon",
            PortsError::NotAPort => {
                "is not a port: a number from 1 to 65535, a range 8000-8100, a list 80,443, or *"
            }
            PortsError::Reversed => "is a range that ends before it begins",
        }
    }
}

impl Ports {
    /// Reads what stands after the colon.
    pub(crate) fn parse(text: &str) -> Result<Self, PortsError> {
        if text == "*" {
            return Ok(Ports::All);
        }
        if text.is_empty() {
            return Err(PortsError::Empty);
        }
        let mut ranges = text
            .split(',')
            .map(parse_range)
            .collect::<Result<Vec<_>, _>>()?;
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u16>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if u32::from(*range.start()) <= u32::from(*last.end()) + 1 => {
                    *last = *last.start()..=(*last.end()).max(*range.end());
                }
                _ => merged.push(range),
            }
        }
        Ok(Ports::Listed(merged.into()))
    }

    pub(crate) fn contains(&self, port: u16) -> bool {
        self.ranges().iter().any(|range| range.contains(&port))
    }

    /// Whether every port of `other` is in this set.
    pub(crate) fn covers(&self, other: &Ports) -> bool {
        let inside = |theirs: &RangeInclusive<u16>| {
            self.ranges()
                .iter()
                .any(|r| r.contains(theirs.start()) && r.contains(theirs.end()))
        };
        other.ranges().iter().all(inside)
    }

    /// The ports one by one, if the line names them so and not by a range.
    pub(crate) fn singles(&self) -> Option<Vec<u16>> {
        let single = |r: &RangeInclusive<u16>| (r.start() == r.end()).then_some(*r.start());
        self.ranges().iter().map(single).collect()
    }

    /// Sorted, and apart from each other.
    pub(crate) fn ranges(&self) -> &[RangeInclusive<u16>] {
        const WEB: &[RangeInclusive<u16>] = &[80..=80, 443..=443];
        const HTTP: &[RangeInclusive<u16>] = &[80..=80];
        const ALL: &[RangeInclusive<u16>] = &[1..=u16::MAX];
        match self {
            Ports::Web => WEB,
            Ports::Http => HTTP,
            Ports::All => ALL,
            Ports::Listed(ranges) => ranges,
        }
    }
}

fn parse_range(text: &str) -> Result<RangeInclusive<u16>, PortsError> {
    let port = |digits| {
        parse_port(digits)
            .map(std::num::NonZeroU16::get)
            .ok_or(PortsError::NotAPort)
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        Err(PortsError::Reversed)
    } else {
        Ok(first..=last)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Ports::All {
            return f.write_str("*");
        }
        for (index, range) in self.ranges().iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if range.start() == range.end() {
                write!(f, "{comma}{}", range.start())?;
            } else {
                write!(f, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_joined() {
        let text = |list: &str| Ports::parse(list).map(|ports| ports.to_string());
        assert_eq!(text("443"), Ok("443".into()));
        assert_eq!(text("443,80"), Ok("80,443".into()));
        assert_eq!(text("8000-8100,8050-8200,8201"), Ok("8000-8201".into()));
        assert_eq!(text("1-65535,65535"), Ok("1-65535".into()));
        assert_eq!(text("*"), Ok("*".into()));
    }

    #[test]
    fn one_spelling_for_each_port() {
        for bad in [
            "0", "080", "+80", "65536", "http", "80,", ",80", "80-", "-80", "80 ", "1-2-3", "８０",
        ] {
            assert_eq!(Ports::parse(bad), Err(PortsError::NotAPort), "{bad}");
        }
        assert_eq!(Ports::parse(""), Err(PortsError::Empty));
        assert_eq!(Ports::parse("8100-8000"), Err(PortsError::Reversed));
    }

    #[test]
    fn a_joined_range_covers_what_its_parts_cover_together() {
        let ports = |list: &str| Ports::parse(list).unwrap();
        assert!(ports("80-90,91-100").covers(&ports("85-95")));
        assert!(Ports::All.covers(&Ports::Web) && !Ports::Web.covers(&Ports::All));
        assert!(Ports::Web.covers(&Ports::Http) && !Ports::Http.covers(&Ports::Web));
        assert!(ports("80,443").covers(&Ports::Web));
    }
}
