//! Copy buffers that a tunnel borrows from its thread only while bytes are in hand.
//!
//! An idle tunnel owns none. What a tunnel may hold is bounded twice: one buffer a direction, and
//! all large ones of the process together at most [`LARGE_IN_USE`]; a task that opens thousands of
//! tunnels and stops reading cannot turn them into gigabytes.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a buffer for a direction that is not bulk. A TLS record is at most 16 KiB.
pub(super) const SMALL: usize = 16 * 1024;
/// Bytes of a buffer for a direction that filled the one before.
pub(super) const LARGE: usize = 256 * 1024;
/// Large buffers that may be out at once in the whole process (64 MiB).
const LARGE_IN_USE: usize = 256;
/// Spare buffers of each size kept by a thread.
const SPARE: usize = 4;

static LARGE_OUT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SPARES: RefCell<Spares> = const { RefCell::new(Spares { small: Vec::new(), large: Vec::new() }) };
}

struct Spares {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
}

/// A buffer on loan; dropping it gives it back to the thread that drops it.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
}

impl Buffer {
    /// A buffer of [`LARGE`] bytes if wanted and available, else of [`SMALL`].
    pub(super) fn take(large: bool) -> Self {
        if large {
            if LARGE_OUT.fetch_add(1, Ordering::Relaxed) < LARGE_IN_USE {
                let spare = SPARES.with_borrow_mut(|spares| spares.large.pop());
                // Zeroed memory of this size comes untouched from the kernel: only what is read
                // into becomes resident.
                return Self {
                    bytes: spare.unwrap_or_else(|| vec![0; LARGE].into()),
                };
            }
            LARGE_OUT.fetch_sub(1, Ordering::Relaxed);
        }
        let spare = SPARES.with_borrow_mut(|spares| spares.small.pop());
        Self {
            bytes: spare.unwrap_or_else(|| vec![0; SMALL].into()),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let large = bytes.len() == LARGE;
        if large {
            LARGE_OUT.fetch_sub(1, Ordering::Relaxed);
        }
        // The thread may be ending and its spares gone; then the memory is simply freed.
        SPARES
            .try_with(|spares| {
                if let Ok(mut spares) = spares.try_borrow_mut() {
                    let kept = if large {
                        &mut spares.large
                    } else {
                        &mut spares.small
                    };
                    if kept.len() < SPARE {
                        kept.push(bytes);
                    }
                }
            })
            .ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_a_small_buffer_when_all_large_ones_are_out() {
        let held: Vec<Buffer> = (0..LARGE_IN_USE).map(|_| Buffer::take(true)).collect();
        assert_eq!(Buffer::take(true).bytes().len(), SMALL);
        drop(held);
        assert_eq!(Buffer::take(true).bytes().len(), LARGE);
    }

    #[test]
    fn takes_back_what_was_dropped() {
        let mut first = Buffer::take(false);
        first.bytes_mut()[0] = 7;
        drop(first);
        assert_eq!(
            Buffer::take(false).bytes()[0],
            7,
            "the same memory comes back"
        );
    }
}
