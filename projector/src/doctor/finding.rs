//! What a check comes to.

use serde::Serialize;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It works now, and may not tomorrow.
    Warning,
    /// It does not work, or a promise does not hold.
    Fault,
}

/// Something that is wrong, and how to mend it. Has no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// What is wrong, before it is known by which check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) severity: Severity,
    pub(super) what: String,
    pub(super) fix: String,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Well(String),
    /// One thing or more is wrong.
    Wrong(Vec<Problem>),
    /// It could not be made.
    Skipped(String),
}

impl Verdict {
    pub(super) fn well(said: impl Into<String>) -> Self {
        Self::Well(said.into())
    }

    pub(super) fn skipped(because: impl Into<String>) -> Self {
        Self::Skipped(because.into())
    }

    pub(super) fn fault(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Wrong(vec![fault(what, fix)])
    }

    pub(super) fn warning(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Wrong(vec![Problem { severity: Severity::Warning, what: what.into(), fix: fix.into() }])
    }

    /// Wrong where there is a problem, else as `said`.
    pub(super) fn of(problems: Vec<Problem>, said: impl Into<String>) -> Self {
        if problems.is_empty() { Self::well(said) } else { Self::Wrong(problems) }
    }

    #[cfg(test)]
    pub(super) fn is_well(&self) -> bool {
        matches!(self, Self::Well(_))
    }

    /// Whether what it looked at can be gone on with: a warning is in nobody's way.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::Well(_) => true,
            Self::Wrong(problems) => problems.iter().all(|problem| problem.severity == Severity::Warning),
            Self::Skipped(_) => false,
        }
    }
}

pub(super) fn fault(what: impl Into<String>, fix: impl Into<String>) -> Problem {
    Problem { severity: Severity::Fault, what: what.into(), fix: fix.into() }
}

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Ok,
    /// See its findings.
    Warning,
    /// See its findings.
    Fault,
    /// It could not be made.
    Skipped,
}

/// A check that was made, or could not be.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Its name.
    pub check: &'static str,
    /// How it stands.
    pub state: State,
    /// What was seen, or why nothing was; nothing where findings say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl Checked {
    pub(super) fn new(check: &'static str, verdict: Verdict) -> Self {
        let (state, said, problems) = match verdict {
            Verdict::Well(said) => (State::Ok, Some(said), vec![]),
            Verdict::Skipped(because) => (State::Skipped, Some(because), vec![]),
            Verdict::Wrong(problems) => {
                let is_fault = problems.iter().any(|problem| problem.severity == Severity::Fault);
                (if is_fault { State::Fault } else { State::Warning }, None, problems)
            }
        };
        let finding = |Problem { severity, what, fix }: Problem| Finding { check, severity, what, fix };
        Self { check, state, said, findings: problems.into_iter().map(finding).collect() }
    }
}
