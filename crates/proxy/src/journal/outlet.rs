//! Lines into stdout, whatever state it is in: full disks get room again, pipes get readers.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use prometheus::IntCounter;

use crate::diagnostic;

/// Pause before a stdout that somebody made non-blocking, and that is full, is tried again.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Outlet {
    sink: Box<dyn Write + Send>,
    dropped: IntCounter,
    failed: bool,
    /// The last line that was written is not whole.
    torn: bool,
}

impl Outlet {
    pub(super) fn new(sink: Box<dyn Write + Send>, dropped: IntCounter) -> Self {
        Self {
            sink,
            dropped,
            failed: false,
            torn: false,
        }
    }

    /// Writes whole lines; counts those that cannot be written, and tries again with the next.
    pub(super) fn put(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let mended = if self.torn {
            self.write(b"\n").1
        } else {
            Ok(())
        };
        let (written, outcome) = match mended {
            Ok(()) => self.write(lines),
            Err(kind) => (0, Err(kind)),
        };
        if let Some(last) = written.checked_sub(1).and_then(|last| lines.get(last)) {
            self.torn = *last != b'\n';
        }
        match outcome {
            Ok(()) if self.failed => diagnostic::note("events are written again"),
            Ok(()) => {}
            Err(kind) => {
                let rest = lines.get(written..).unwrap_or_default();
                let lost = rest.iter().filter(|byte| **byte == b'\n').count();
                self.dropped.inc_by(lost as u64);
                if !self.failed {
                    diagnostic::warn(format_args!(
                        "events cannot be written to stdout and are lost for now: {kind}"
                    ));
                }
            }
        }
        self.failed = outcome.is_err();
    }

    /// How many bytes were written, and why not all.
    fn write(&mut self, bytes: &[u8]) -> (usize, Result<(), ErrorKind>) {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero)),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                Err(error) => return (written, Err(error.kind())),
            }
        }
        (written, Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A disk with room for so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Disk {
        fn make_room(&self, bytes: usize) {
            self.0.lock().unwrap().1 += bytes;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let taken = bytes.len().min(disk.1);
            if taken == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            disk.0.extend_from_slice(&bytes[..taken]);
            disk.1 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn outlet(sink: impl Write + Send + 'static) -> (Outlet, IntCounter) {
        let dropped = IntCounter::new("dropped", "dropped").unwrap();
        (Outlet::new(Box::new(sink), dropped.clone()), dropped)
    }

    #[test]
    fn counts_what_a_full_disk_does_not_take_and_goes_on_when_it_has_room() {
        let disk = Disk::default();
        let (mut outlet, dropped) = outlet(disk.clone());
        disk.make_room(6);
        outlet.put(b"one\ntwo\nthree\n");
        assert_eq!((disk.text().as_str(), dropped.get()), ("one\ntw", 2));
        outlet.put(b"four\n");
        assert_eq!(dropped.get(), 3);
        disk.make_room(100);
        outlet.put(b"five\n");
        outlet.put(b"six\n");
        assert_eq!(disk.text(), "one\ntw\nfive\nsix\n", "a torn line ends");
        assert_eq!(dropped.get(), 3);
    }

    /// Is full every other time.
    struct Busy(Disk, bool);

    impl Write for Busy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.0.write(&bytes[..1])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn waits_for_a_stdout_that_another_program_made_non_blocking() {
        let disk = Disk::default();
        disk.make_room(100);
        let (mut outlet, dropped) = outlet(Busy(disk.clone(), false));
        outlet.put(b"one\ntwo\n");
        assert_eq!((disk.text().as_str(), dropped.get()), ("one\ntwo\n", 0));
    }
}
