//! The result of a check: its verdict, its findings and its state.

use serde::Serialize;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It works now but can fail later.
    Warning,
    /// It does not work, or a guarantee of the system does not hold.
    Fault,
}

/// A problem and its fix. Contains no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check.
    pub check: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// A finding without the name of its check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) severity: Severity,
    pub(super) what: String,
    pub(super) fix: String,
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No problem, with the observed value.
    Ok(String),
    /// One or more problems.
    Problems(Vec<Problem>),
    /// The check could not be made, with the reason.
    Skipped(String),
}

impl Verdict {
    pub(super) fn ok(observed: impl Into<String>) -> Self {
        Self::Ok(observed.into())
    }

    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped(reason.into())
    }

    pub(super) fn fault(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Problems(vec![fault(what, fix)])
    }

    pub(super) fn warning(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Problems(vec![Problem { severity: Severity::Warning, what: what.into(), fix: fix.into() }])
    }

    /// The problems, or `observed` if there are none.
    pub(super) fn of(problems: Vec<Problem>, observed: impl Into<String>) -> Self {
        if problems.is_empty() { Self::ok(observed) } else { Self::Problems(problems) }
    }

    #[cfg(test)]
    pub(super) fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }

    #[cfg(test)]
    pub(super) fn problems(self) -> Vec<Problem> {
        if let Self::Problems(problems) = self { problems } else { vec![] }
    }

    /// Whether dependent checks can run; a warning does not prevent them.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::Ok(_) => true,
            Self::Problems(problems) => problems.iter().all(|problem| problem.severity == Severity::Warning),
            Self::Skipped(_) => false,
        }
    }
}

pub(super) fn fault(what: impl Into<String>, fix: impl Into<String>) -> Problem {
    Problem { severity: Severity::Fault, what: what.into(), fix: fix.into() }
}

/// The state of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It found no problem.
    Ok,
    /// It found warnings only.
    Warning,
    /// It found at least one fault.
    Fault,
    /// It could not be made.
    Skipped,
}

/// The result of one check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    /// Name of the check.
    pub check: &'static str,
    /// Its state.
    pub state: State,
    /// The observed value, or the reason to skip the check; absent if there are findings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Its findings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl CheckResult {
    pub(super) fn new(check: &'static str, verdict: Verdict) -> Self {
        let (state, said, problems) = match verdict {
            Verdict::Ok(observed) => (State::Ok, Some(observed), vec![]),
            Verdict::Skipped(reason) => (State::Skipped, Some(reason), vec![]),
            Verdict::Problems(problems) => {
                let is_fault = problems.iter().any(|problem| problem.severity == Severity::Fault);
                (if is_fault { State::Fault } else { State::Warning }, None, problems)
            }
        };
        let finding = |Problem { severity, what, fix }: Problem| Finding { check, severity, what, fix };
        Self { check, state, said, findings: problems.into_iter().map(finding).collect() }
    }
}
