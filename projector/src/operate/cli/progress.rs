//! How far a command is, on standard error: a bar on a terminal, now and then a line elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Characters of a bar.
const WIDTH: u64 = 30;

/// How often a bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a line is written where nothing can be redrawn.
const LINE: Duration = Duration::from_secs(5);

/// Draws nothing in the first moment: what is done by then needs no bar.
pub(super) struct Progress {
    what: String,
    is_terminal: bool,
    /// Last time; at first the beginning.
    drawn: Option<Instant>,
    has_bar: bool,
}

impl Progress {
    pub(super) fn new(what: String) -> Self {
        Self { what, is_terminal: io::stderr().is_terminal(), drawn: None, has_bar: false }
    }

    /// To be called as often as one likes.
    pub(super) fn at(&mut self, done: u64, of: u64) {
        let pause = if self.is_terminal { REDRAW } else { LINE };
        if self.drawn.get_or_insert_with(Instant::now).elapsed() < pause {
            return;
        }
        self.drawn = Some(Instant::now());
        let mut stderr = io::stderr().lock();
        // Progress that nobody can see is no reason to stop.
        let _ = if self.is_terminal {
            self.has_bar = true;
            write!(stderr, "\r{} [{}] {done} of {of}\x1b[K", self.what, bar(done, of))
        } else {
            writeln!(stderr, "{}: {done} of {of}", self.what)
        };
        let _ = stderr.flush();
    }
}

/// What is written next begins on a line of its own.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.has_bar {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

fn bar(done: u64, of: u64) -> String {
    let n_full = done.min(of).saturating_mul(WIDTH) / of.max(1);
    (0..WIDTH).map(|index| if index < n_full { '#' } else { '.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_half_and_full() {
        assert_eq!(bar(0, 10), ".".repeat(30));
        assert_eq!(bar(5, 10), format!("{}{}", "#".repeat(15), ".".repeat(15)));
        assert_eq!(bar(11, 10), "#".repeat(30));
        assert_eq!(bar(0, 0), ".".repeat(30));
    }
}
