//! Checks an installation and reports each problem with its fix.
//!
//! Checks run one after another, and a failed check does not stop the others. Pure functions decide what a
//! response means (`verdicts`). The doctor changes nothing, but with an administrator's token it makes
//! authentik send its test webhook.

mod finding;
mod http;
mod nats;
mod provider;
mod reader;
mod settings;
mod sign_out;
mod transport;
mod verdicts;

use serde::Serialize;

pub use finding::{CheckResult, Finding, Severity, State};
pub use settings::Settings;

use self::finding::Verdict;
use crate::Config;

/// All findings and all check results.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The findings of all checks; empty for a healthy installation.
    pub findings: Vec<Finding>,
    /// The result of each check, in the order of the checks.
    pub checks: Vec<CheckResult>,
}

/// Collects the result of each check and passes it on immediately.
struct Examination<'a> {
    report: Report,
    on_check: &'a mut (dyn FnMut(&CheckResult) + Send),
}

impl Examination<'_> {
    /// Records the result of a check. Returns whether dependent checks can run.
    fn record(&mut self, check: &'static str, verdict: Verdict) -> bool {
        let is_usable = verdict.is_usable();
        let result = CheckResult::new(check, verdict);
        (self.on_check)(&result);
        self.report.findings.extend(result.findings.iter().cloned());
        self.report.checks.push(result);
        is_usable
    }

    fn skip(&mut self, checks: &[&'static str], reason: &str) {
        for check in checks {
            self.record(check, Verdict::skipped(reason));
        }
    }
}

/// Makes all checks and calls `on_check` with each result as soon as it is known.
pub async fn examine(
    config: &Config,
    settings: &Settings,
    on_check: &mut (dyn FnMut(&CheckResult) + Send),
) -> Report {
    let mut examination = Examination { report: Report::default(), on_check };
    let authentik = reader::examine(&mut examination, config).await;
    provider::examine(&mut examination, settings).await;
    let nats = nats::examine(&mut examination, config, settings).await;
    transport::examine(&mut examination, config, settings, nats.as_ref(), authentik).await;
    examination.report
}
