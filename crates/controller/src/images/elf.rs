//! Is a program static? In an image `FROM scratch` nothing else runs.

use std::path::Path;

use crate::error::{Error, Result};

/// A program header of this type names the loader of a dynamic program (System V ABI, `PT_INTERP`).
const INTERPRETER: u32 = 3;

/// Refuses what is not a static 64-bit ELF program.
pub(super) fn check_static(path: &Path, program: &[u8]) -> Result<()> {
    let why = match wants_loader(program) {
        Some(false) => return Ok(()),
        Some(true) => "is not linked statically, so it cannot run in an image of its own",
        None => "is not a 64-bit ELF program",
    };
    Err(Error::Unfit(format!(
        "{} {why}; build it with RUSTFLAGS=\"-C target-feature=+crt-static\", or name a directory \
         of static programs with AGENTNET_BIN_DIR, or an image with AGENTNET_PROXY_IMAGE and \
         AGENTNET_GATE_IMAGE",
        path.display()
    )))
}

/// `None`: not an ELF file that we can read.
fn wants_loader(program: &[u8]) -> Option<bool> {
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = program.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b)))
    };
    // 64 bits, little endian: what the images are made for.
    if program.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(number(32, 8)?).ok()?;
    let size = usize::try_from(number(54, 2)?).ok()?;
    let count = usize::try_from(number(56, 2)?).ok()?;
    for index in 0..count {
        let at = table.checked_add(index.checked_mul(size)?)?;
        if number(at, 4)? == u64::from(INTERPRETER) {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header with one program header of a type.
    fn elf(kind: u8) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64] = kind;
        file
    }

    #[test]
    fn tells_static_from_dynamic_and_both_from_anything_else() {
        assert_eq!(wants_loader(&elf(1)), Some(false));
        assert_eq!(wants_loader(&elf(3)), Some(true));
        assert_eq!(wants_loader(b"#!/bin/sh\n"), None);
        assert_eq!(wants_loader(&elf(1)[..66]), None);
    }

    #[test]
    fn says_what_to_do_about_a_dynamic_program() {
        let error = check_static(Path::new("/x/agentnet-gate"), &elf(3))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("/x/agentnet-gate is not linked statically"),
            "{error}"
        );
        assert!(error.contains("AGENTNET_BIN_DIR"), "{error}");
    }
}
