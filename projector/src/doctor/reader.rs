//! Checks authentik as the projector reaches it, with the projector's token.

use super::Examination;
use super::finding::Verdict;
use super::http::AuthentikApi;
use super::verdicts::{clock, token};
use crate::Config;

const FIX: &str = "set AUTHENTIK_TOKEN to the key of the API token authentik-events-api (EVENTS_API_TOKEN of the \
                   blueprint); its intent must be API, and its user active";

/// What the following checks depend on.
#[derive(Clone, Copy)]
pub(super) struct AuthentikState {
    /// authentik's API answers at `AUTHENTIK_URL`.
    pub(super) is_reachable: bool,
    /// The clock skew is small enough for signatures.
    pub(super) clocks_agree: bool,
}

pub(super) async fn examine(examination: &mut Examination<'_>, config: &Config) -> AuthentikState {
    let reader = match config.authentik().and_then(|(url, token)| AuthentikApi::new(url, token)) {
        Ok(reader) => reader,
        Err(error) => {
            let verdict = Verdict::fault(format!("{error:#}"), "set it to the value that the projector uses");
            examination.record("reader-token", verdict);
            let dependent = ["reader-rights", "reader-writes", "authentik-clock"];
            examination.skip(&dependent, "the settings for authentik are incomplete");
            return AuthentikState { is_reachable: false, clocks_agree: true };
        }
    };
    let me = reader.get("/core/users/me/").await;
    let is_accepted = examination.record("reader-token", token::accepted("AUTHENTIK_TOKEN", FIX, &me));
    if is_accepted {
        let mut responses = vec![];
        for (_, path, _) in token::KINDS {
            responses.push(reader.get(path).await);
        }
        examination.record("reader-rights", token::may_view(&responses));
        let attempt = reader.post_empty("/core/users/").await;
        examination.record("reader-writes", token::may_not_write(&me, &attempt));
    } else {
        examination.skip(&["reader-rights", "reader-writes"], "authentik does not accept the token");
    }
    let Ok(me) = me else {
        examination.skip(&["authentik-clock"], "authentik does not answer");
        return AuthentikState { is_reachable: false, clocks_agree: true };
    };
    let clocks_agree = examination.record("authentik-clock", clock::skew("authentik", me.clock_ahead));
    // A refusal with authentik's `detail` also shows that authentik answers.
    AuthentikState { is_reachable: is_accepted || me.body["detail"].is_string(), clocks_agree }
}
