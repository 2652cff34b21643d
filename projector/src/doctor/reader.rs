//! authentik as the projector reaches it, with the projector's own token.

use super::Examination;
use super::ask::Authentik;
use super::finding::Verdict;
use super::judge::{clock, token};
use crate::Config;

const FIX: &str = "set it to the key of the API token authentik-events-api (EVENTS_API_TOKEN of the blueprint), whose \
                   intent is API, and whose user is active";

/// What the checks that follow rest on.
#[derive(Clone, Copy)]
pub(super) struct Reached {
    /// What answers at `AUTHENTIK_URL` is authentik.
    pub(super) authentik: bool,
    /// Its clock and the one here agree as far as signatures need it.
    pub(super) clocks_agree: bool,
}

pub(super) async fn examine(examination: &mut Examination<'_>, config: &Config) -> Reached {
    let reader = match config.authentik().and_then(|(url, token)| Authentik::new(url, token)) {
        Ok(reader) => reader,
        Err(error) => {
            examination
                .note("reader-token", Verdict::fault(format!("{error:#}"), "set it as the projector has it"));
            examination
                .skip(&["reader-rights", "reader-writes", "authentik-clock"], "authentik was not asked");
            return Reached { authentik: false, clocks_agree: true };
        }
    };
    let me = reader.get("/core/users/me/").await;
    let is_known = examination.note("reader-token", token::known("AUTHENTIK_TOKEN", FIX, &me));
    if is_known {
        let mut answers = vec![];
        for (_, path, _) in token::KINDS {
            answers.push(reader.get(path).await);
        }
        examination.note("reader-rights", token::may_view(&answers));
        let attempt = reader.post_nothing("/core/users/").await;
        examination.note("reader-writes", token::may_not_write(&me, &attempt));
    } else {
        examination.skip(&["reader-rights", "reader-writes"], "the token is not known");
    }
    let Ok(me) = me else {
        examination.skip(&["authentik-clock"], "authentik does not answer");
        return Reached { authentik: false, clocks_agree: true };
    };
    let clocks_agree = examination.note("authentik-clock", clock::skew("authentik", me.ahead));
    // A token that it refuses is told in authentik's words.
    Reached { authentik: is_known || me.body["detail"].is_string(), clocks_agree }
}
