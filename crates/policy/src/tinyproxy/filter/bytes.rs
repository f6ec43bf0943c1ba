//! Sets of bytes, and the classes that POSIX has names for (in the locale `C`, as Tinyproxy runs).

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir};

/// A set of bytes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bytes([bool; 256]);

impl Bytes {
    pub(super) fn none() -> Self {
        Self([false; 256])
    }

    pub(super) fn of(accept: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::none();
        for (byte, slot) in (0..=u8::MAX).zip(&mut set.0) {
            *slot = accept(byte);
        }
        set
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }

    pub(super) fn add(&mut self, accept: impl Fn(u8) -> bool) {
        for (byte, slot) in (0..=u8::MAX).zip(&mut self.0) {
            *slot |= accept(byte);
        }
    }

    /// What `[:NAME:]` stands for; `None` if there is no such class.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let accept: fn(&u8) -> bool = match name {
            b"alnum" => u8::is_ascii_alphanumeric,
            b"alpha" => u8::is_ascii_alphabetic,
            b"blank" => |b| matches!(b, b' ' | b'\t'),
            b"cntrl" => u8::is_ascii_control,
            b"digit" => u8::is_ascii_digit,
            b"graph" => u8::is_ascii_graphic,
            b"lower" => u8::is_ascii_lowercase,
            b"print" => |b| b.is_ascii_graphic() || *b == b' ',
            b"punct" => u8::is_ascii_punctuation,
            b"space" => is_space,
            b"upper" => u8::is_ascii_uppercase,
            b"xdigit" => u8::is_ascii_hexdigit,
            _ => return None,
        };
        Some(Self::of(|byte| accept(&byte)))
    }

    pub(super) fn hir(&self) -> Hir {
        let ranges = (0..=u8::MAX)
            .filter(|&byte| self.has(byte))
            .map(|byte| ClassBytesRange::new(byte, byte));
        Hir::class(Class::Bytes(ClassBytes::new(ranges)))
    }
}

/// C's `isspace`.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "as the methods of u8 have it"
)]
pub(super) fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// What `\w` stands for.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
