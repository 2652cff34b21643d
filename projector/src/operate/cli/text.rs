//! Formats results as text.

use domain::command::{DeadLetter, Replayed};
use domain::status::Status;
use domain::timestamp::Timestamp;

use super::output::table;
use crate::dead_letters::FullDeadLetter;
use crate::erasure::{Erased, Stage};
use crate::projections::{Difference, Rebuilt, Verified};

/// Longest reason in a list, in characters; `show` prints the whole reason.
const MAX_REASON: usize = 60;

pub(super) fn rebuilt(rebuilt: &Rebuilt) -> String {
    let before = match rebuilt.replaced {
        Some(generation) => format!(" instead of {generation}"),
        None => String::new(),
    };
    format!(
        "readers of {} use generation {}{before}: {} views up to event {}\nfingerprint {}",
        rebuilt.projection, rebuilt.generation, rebuilt.n_views, rebuilt.sequence, rebuilt.fingerprint
    )
}

pub(super) fn stage(stage: Stage) -> String {
    match stage {
        Stage::Waiting => "waiting for the inbox".to_owned(),
        Stage::Inbox => "erasing from the inbox".to_owned(),
        Stage::Events => "erasing events".to_owned(),
        Stage::Rebuilding(name) => format!("folding {}", name.as_str()),
    }
}

pub(super) fn erased(erased: &Erased) -> String {
    let users = erased.users.iter().map(|user| {
        format!("erased user {}: {} events; the receipt is event {}", user.pk, user.n_events, user.receipt)
    });
    let mut lines: Vec<_> = users.collect();
    let Erased { n_deliveries, n_dead_letters, .. } = erased;
    lines.push(format!("erased {n_deliveries} deliveries and {n_dead_letters} dead letters"));
    lines.extend(erased.projections.iter().map(rebuilt));
    lines.join("\n")
}

pub(super) fn verified(verified: &Verified) -> String {
    let Verified { projection, generation, n_views, sequence, served, expected, .. } = verified;
    let mut lines = vec![
        format!("{projection} generation {generation}: {n_views} views up to event {sequence}"),
        format!("served    {served}"),
        format!("expected  {expected}"),
    ];
    if verified.holds() {
        lines.push("the views equal their events".to_owned());
    } else {
        lines.push(format!("{} keys differ; the first are:", verified.n_differences));
    }
    lines.extend(verified.differences.iter().map(|(key, difference)| {
        let how = match difference {
            Difference::Missing => "is missing",
            Difference::Unexpected => "exists, but no event resulted in it",
            Difference::Other => "has other contents",
        };
        format!("  {key} {how}")
    }));
    lines.join("\n")
}

pub(super) fn letters(letters: &[DeadLetter]) -> String {
    if letters.is_empty() {
        return "no dead letters".to_owned();
    }
    let rows: Vec<_> = letters
        .iter()
        .map(|letter| {
            vec![
                letter.id.to_string(),
                letter.attempts.to_string(),
                time(letter.first_failure),
                time(letter.last_failure),
                letter.reason.chars().take(MAX_REASON).collect(),
            ]
        })
        .collect();
    table(&["ID", "ATTEMPTS", "FIRST FAILURE", "LAST FAILURE", "REASON"], &rows)
}

pub(super) fn letter(full: &FullDeadLetter) -> String {
    let FullDeadLetter { letter, headers, payload, .. } = full;
    let mut lines = vec![
        format!("id: {}", letter.id),
        format!("reason: {}", letter.reason),
        format!("attempts: {}", letter.attempts),
        format!("first failure: {}", time(letter.first_failure)),
        format!("last failure: {}\n", time(letter.last_failure)),
    ];
    lines.extend(headers.iter().map(|(name, values)| format!("{name}: {}", values.join(", "))));
    lines.push(format!("\n{}", String::from_utf8_lossy(payload)));
    lines.join("\n")
}

pub(super) fn replayed(replayed: &[Replayed]) -> String {
    if replayed.is_empty() {
        return "no dead letters".to_owned();
    }
    let lines: Vec<_> =
        replayed.iter().map(|one| format!("{} is in the inbox as {}", one.id, one.replay)).collect();
    lines.join("\n")
}

pub(super) fn status(status: &Status) -> String {
    let streams: Vec<_> = status
        .streams
        .iter()
        .map(|stream| {
            let sequences = format!("{}..{}", stream.first_sequence, stream.last_sequence);
            vec![stream.name.clone(), stream.messages.to_string(), stream.bytes.to_string(), sequences]
        })
        .collect();
    let projections: Vec<_> = status
        .projections
        .iter()
        .map(|projection| {
            let generation = projection.generation.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let (checkpoint, lag) = (projection.checkpoint.to_string(), projection.lag.to_string());
            vec![projection.name.clone(), generation, checkpoint, lag]
        })
        .collect();
    let last_sweep = time(status.last_sweep.map(|sweep| sweep.completed));
    format!(
        "{}\ninbox: {} pending, {} in progress\n\n{}\ndead letters: {}\nlast sweep: {last_sweep}",
        table(&["STREAM", "MESSAGES", "BYTES", "SEQUENCES"], &streams),
        status.inbox.pending,
        status.inbox.in_hand,
        table(&["PROJECTION", "GENERATION", "CHECKPOINT", "LAG"], &projections),
        status.dead_letters
    )
}

fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
}
