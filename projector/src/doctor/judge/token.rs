//! The tokens of the REST API, and what they may do.

use super::super::ask::{Answer, Asked};
use super::super::finding::{Verdict, fault};

/// What the reader must be able to list: in words, the path, and the permission.
pub(crate) const KINDS: [(&str, &str, &str); 3] = [
    (
        "users",
        "/core/users/?page_size=1&include_groups=false&include_roles=false",
        "authentik_core.view_user",
    ),
    ("groups", "/core/groups/?page_size=1&include_users=false", "authentik_core.view_group"),
    ("events", "/events/events/?page_size=1", "authentik_events.view_event"),
];

/// Whether authentik knows a token, by what it says of its owner (`/core/users/me/`).
pub(crate) fn known(variable: &str, fix: &str, me: &Asked) -> Verdict {
    match me {
        Err(problem) => Verdict::fault(
            format!("authentik does not answer: {problem}"),
            "check AUTHENTIK_URL, and that authentik runs and can be reached from here",
        ),
        // There is no 401 in this API.
        Ok(answer) if answer.status == 403 => {
            Verdict::fault(format!("authentik refuses {variable}: {}", answer.detail()), fix)
        }
        Ok(Answer { status: 200, body, .. }) if body["user"].is_object() => {
            Verdict::well("authentik knows it")
        }
        Ok(answer) => Verdict::fault(
            format!("what answers at AUTHENTIK_URL is not authentik's API: status {}", answer.status),
            "set AUTHENTIK_URL to the address of authentik, without a path behind it",
        ),
    }
}

/// Whether a token is [`known`], and its owner an administrator.
pub(crate) fn administrators(variable: &str, fix: &str, me: &Asked) -> Verdict {
    let is_superuser = me.as_ref().is_ok_and(|me| me.body["user"]["is_superuser"] == true);
    match known(variable, fix, me) {
        Verdict::Well(_) if !is_superuser => {
            Verdict::fault(format!("{variable} is not an administrator's"), fix)
        }
        verdict => verdict,
    }
}

/// Whether the reader may list each of [`KINDS`].
pub(crate) fn may_view(answers: &[Asked]) -> Verdict {
    let mut problems = vec![];
    for ((kind, _, permission), answer) in KINDS.into_iter().zip(answers) {
        match answer {
            Ok(Answer { status: 200, .. }) => {}
            Ok(answer) if answer.status == 403 => problems.push(fault(
                format!("AUTHENTIK_TOKEN may not view {kind}"),
                format!(
                    "give the role authentik-events-reader the permission {permission}, as the blueprint does"
                ),
            )),
            Ok(answer) => problems.push(fault(
                format!("{kind} are answered with status {}", answer.status),
                "see authentik's own log",
            )),
            Err(problem) => problems
                .push(fault(format!("{kind} are not answered: {problem}"), "check that authentik runs")),
        }
    }
    Verdict::of(problems, "may view users, groups and events")
}

/// Whether the reader may do more than read: by what authentik says of it, and by its answer to an empty new user.
///
/// Rights are looked at before the body, and a user without a name is refused: nothing can come of it.
pub(crate) fn may_not_write(me: &Asked, attempt: &Asked) -> Verdict {
    let is_superuser = me.as_ref().is_ok_and(|me| me.body["user"]["is_superuser"] == true);
    match attempt {
        _ if is_superuser => too_mighty("AUTHENTIK_TOKEN is an administrator's"),
        Ok(Answer { status: 403, .. }) => Verdict::well("may not write"),
        Ok(Answer { status: 400, .. }) => too_mighty("AUTHENTIK_TOKEN may create users"),
        Ok(answer) => {
            Verdict::skipped(format!("an empty new user is answered with status {}", answer.status))
        }
        Err(problem) => Verdict::skipped(format!("an empty new user is not answered: {problem}")),
    }
}

fn too_mighty(what: &str) -> Verdict {
    Verdict::warning(
        format!("{what}: whoever gets at it can change authentik"),
        "use the token of the service account authentik-events, whose role can only view",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(status: u16, body: Value) -> Answer {
        Answer { status, body, ahead: None }
    }

    #[test]
    fn refusals_are_named_in_authentiks_words() {
        let refused = testkit::recordings::json("rest/bad_token_403.json");
        let Verdict::Wrong(problems) =
            known("AUTHENTIK_TOKEN", "", &Ok(answer(403, refused["body"].clone())))
        else {
            panic!("well");
        };
        assert_eq!(problems[0].what, "authentik refuses AUTHENTIK_TOKEN: Token invalid/expired");
        let me = testkit::recordings::json("rest/me.json");
        assert!(known("AUTHENTIK_TOKEN", "", &Ok(answer(200, me["body"].clone()))).is_well());
        for other in
            [Ok(answer(404, Value::Null)), Ok(answer(200, json!({"login": "page"}))), Err("away".into())]
        {
            assert!(!known("AUTHENTIK_TOKEN", "", &other).is_well());
        }
    }

    #[test]
    fn each_right_that_is_missing_is_named() {
        let answers = [200, 403, 403].map(|status| Ok(answer(status, json!({}))));
        let Verdict::Wrong(problems) = may_view(&answers) else { panic!("well") };
        let what: Vec<_> = problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(what, ["AUTHENTIK_TOKEN may not view groups", "AUTHENTIK_TOKEN may not view events"]);
    }

    #[test]
    fn what_cannot_be_told_of_writing_is_no_finding() {
        let me = Ok(answer(200, json!({"user": {"is_superuser": false}})));
        assert!(may_not_write(&me, &Ok(answer(403, Value::Null))).is_well());
        assert!(matches!(may_not_write(&me, &Ok(answer(400, Value::Null))), Verdict::Wrong(_)));
        assert!(matches!(may_not_write(&me, &Ok(answer(405, Value::Null))), Verdict::Skipped(_)));
        let me = Ok(answer(200, json!({"user": {"is_superuser": true}})));
        assert!(matches!(may_not_write(&me, &Ok(answer(403, Value::Null))), Verdict::Wrong(_)));
    }
}
