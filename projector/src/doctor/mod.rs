//! Looks at an installation, and names what is wrong with it and how to mend it.
//!
//! Each check is asked for, judged and told before the next one; none keeps the others from being made. What was
//! observed is judged by pure functions ([`judge`]). Nothing is changed, but for one webhook: authentik's own test of
//! its transport, with an administrator's token.

mod ask;
mod finding;
mod judge;
mod nats;
mod provider;
mod reader;
mod settings;
mod transport;

use serde::Serialize;

pub use finding::{Checked, Finding, Severity, State};
pub use settings::Settings;

use self::finding::Verdict;
use crate::Config;

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What is wrong; nothing where all is well.
    pub findings: Vec<Finding>,
    /// Every check, in the order in which they were made.
    pub checks: Vec<Checked>,
}

/// Notes what each check comes to, and tells it at once.
struct Examination<'a> {
    report: Report,
    tell: &'a mut (dyn FnMut(&Checked) + Send),
}

impl Examination<'_> {
    /// Whether the check was made, and found nothing that keeps others from being made.
    fn note(&mut self, check: &'static str, verdict: Verdict) -> bool {
        let is_usable = verdict.is_usable();
        let checked = Checked::new(check, verdict);
        (self.tell)(&checked);
        self.report.findings.extend(checked.findings.iter().cloned());
        self.report.checks.push(checked);
        is_usable
    }

    fn skip(&mut self, checks: &[&'static str], because: &str) {
        for check in checks {
            self.note(check, Verdict::skipped(because));
        }
    }
}

/// Makes every check that can be made; `tell` is told of each as soon as it is done.
pub async fn examine(
    config: &Config,
    settings: &Settings,
    tell: &mut (dyn FnMut(&Checked) + Send),
) -> Report {
    let mut examination = Examination { report: Report::default(), tell };
    let reached = reader::examine(&mut examination, config).await;
    provider::examine(&mut examination, settings).await;
    let nats = nats::examine(&mut examination, config, settings).await;
    transport::examine(&mut examination, config, settings, nats.as_ref(), reached).await;
    examination.report
}
