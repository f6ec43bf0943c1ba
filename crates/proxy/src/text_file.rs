//! Files that are read whole: never more of one than it may have, also of what has no end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Its bytes.
///
/// # Errors
/// When it cannot be read, or has more than `most` bytes.
pub fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let what = match most >> 20 {
            0 => format!("it is larger than {most} bytes"),
            mebibytes => format!("it is larger than {mebibytes} MiB"),
        };
        return Err(io::Error::other(what));
    }
    Ok(bytes)
}

/// Its text.
///
/// # Errors
/// As [`bytes()`], and when it is not UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    let what = "it is not UTF-8 text";
    String::from_utf8(bytes(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Its text, with a mark in the place of what is not UTF-8: where only comments may hold such bytes,
/// or what holds them fits nothing.
///
/// # Errors
/// As [`bytes()`].
pub fn lossy(path: &Path, most: u64) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&bytes(path, most)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_no_more_than_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"caf\xe9").unwrap();
        assert_eq!(bytes(&path, 4).unwrap(), b"caf\xe9");
        assert_eq!(lossy(&path, 4).unwrap(), "caf\u{FFFD}");
        assert_eq!(
            text(&path, 4).unwrap_err().to_string(),
            "it is not UTF-8 text"
        );
        assert_eq!(
            bytes(&path, 3).unwrap_err().to_string(),
            "it is larger than 3 bytes"
        );
        let endless = bytes(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(endless.to_string(), "it is larger than 1 MiB");
        assert!(bytes(&dir.path().join("y"), 1).is_err());
    }
}
