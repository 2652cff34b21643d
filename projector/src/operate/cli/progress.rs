//! Shows the progress of a subcommand on standard error: a bar on a terminal, otherwise some lines.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Width of a bar, in characters.
const WIDTH: u64 = 30;

/// How often to draw a bar.
const REDRAW: Duration = Duration::from_millis(100);

/// How often to write a line when standard error is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// The progress of one task. Draws nothing in the first interval, so that a short task shows no bar.
pub(super) struct ProgressBar {
    what: String,
    is_terminal: bool,
    /// When it was last drawn; initially the time of the first call.
    drawn: Option<Instant>,
    has_bar: bool,
}

impl ProgressBar {
    pub(super) fn new(what: String) -> Self {
        Self { what, is_terminal: io::stderr().is_terminal(), drawn: None, has_bar: false }
    }

    /// Updates the progress. Frequent calls are cheap.
    pub(super) fn set(&mut self, done: u64, of: u64) {
        let pause = if self.is_terminal { REDRAW } else { LINE };
        if self.drawn.get_or_insert_with(Instant::now).elapsed() < pause {
            return;
        }
        self.drawn = Some(Instant::now());
        let mut stderr = io::stderr().lock();
        // A failed write must not stop the task.
        let _ = if self.is_terminal {
            self.has_bar = true;
            write!(stderr, "\r{} [{}] {done} of {of}\x1b[K", self.what, bar(done, of))
        } else {
            writeln!(stderr, "{}: {done} of {of}", self.what)
        };
        let _ = stderr.flush();
    }
}

/// Clears the bar, so that the next output starts on an empty line.
impl Drop for ProgressBar {
    fn drop(&mut self) {
        if self.has_bar {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// The progress of a task with several stages: a new bar for each.
pub(super) struct StagedProgress<S>(Option<(S, ProgressBar)>);

impl<S: Copy + PartialEq> StagedProgress<S> {
    pub(super) fn new() -> Self {
        Self(None)
    }

    pub(super) fn set(&mut self, stage: S, name: impl Fn(S) -> String, done: u64, of: u64) {
        // Clears the bar of the previous stage before the next one is drawn.
        self.0.take_if(|(shown, _)| *shown != stage);
        let (_, bar) = self.0.get_or_insert_with(|| (stage, ProgressBar::new(name(stage))));
        bar.set(done, of);
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
