//! Tokens of authentik's REST API and their rights.

use super::super::finding::{Verdict, fault};
use super::super::http::{HttpResponse, HttpResult};

/// The objects that the projector's token must be able to list: name, path, and permission.
pub(crate) const KINDS: [(&str, &str, &str); 3] = [
    (
        "users",
        "/core/users/?page_size=1&include_groups=false&include_roles=false",
        "authentik_core.view_user",
    ),
    ("groups", "/core/groups/?page_size=1&include_users=false", "authentik_core.view_group"),
    ("events", "/events/events/?page_size=1", "authentik_events.view_event"),
];

/// Whether authentik accepts a token, by its response to `/core/users/me/`.
pub(crate) fn accepted(variable: &str, fix: &str, me: &HttpResult) -> Verdict {
    match me {
        Err(problem) => Verdict::fault(
            format!("authentik does not answer: {problem}"),
            "check AUTHENTIK_URL, and that authentik runs and is reachable from this machine",
        ),
        // authentik's API answers 403 where other APIs answer 401.
        Ok(response) if response.status == 403 => {
            Verdict::fault(format!("authentik refuses {variable}: {}", response.detail()), fix)
        }
        Ok(HttpResponse { status: 200, body, .. }) if body["user"].is_object() => {
            Verdict::ok("authentik accepts it")
        }
        Ok(response) => Verdict::fault(
            format!("the service at AUTHENTIK_URL is not authentik's API: status {}", response.status),
            "set AUTHENTIK_URL to the URL of authentik, without a path",
        ),
    }
}

/// Whether authentik accepts a token (see [`accepted`]), and its owner is an administrator.
pub(crate) fn accepted_of_administrator(variable: &str, fix: &str, me: &HttpResult) -> Verdict {
    let is_superuser = me.as_ref().is_ok_and(|me| me.body["user"]["is_superuser"] == true);
    match accepted(variable, fix, me) {
        Verdict::Ok(_) if !is_superuser => {
            Verdict::fault(format!("{variable} is not an administrator's"), fix)
        }
        verdict => verdict,
    }
}

/// Whether the projector's token may list each of [`KINDS`].
pub(crate) fn may_view(responses: &[HttpResult]) -> Verdict {
    let mut problems = vec![];
    for ((kind, _, permission), response) in KINDS.into_iter().zip(responses) {
        match response {
            Ok(HttpResponse { status: 200, .. }) => {}
            Ok(response) if response.status == 403 => problems.push(fault(
                format!("AUTHENTIK_TOKEN may not view {kind}"),
                format!(
                    "give the role authentik-events-reader the permission {permission}, as the blueprint does"
                ),
            )),
            Ok(response) => problems.push(fault(
                format!("authentik answers the request for {kind} with status {}", response.status),
                "find the cause in authentik's log",
            )),
            Err(problem) => problems.push(fault(
                format!("authentik does not answer the request for {kind}: {problem}"),
                "check that authentik runs",
            )),
        }
    }
    Verdict::of(problems, "may view users, groups and events")
}

/// Whether the projector's token can only read, by its owner and the response to creating an empty user.
///
/// The attempt never creates a user: authentik checks the rights, and then refuses a user without a name.
pub(crate) fn may_not_write(me: &HttpResult, attempt: &HttpResult) -> Verdict {
    let is_superuser = me.as_ref().is_ok_and(|me| me.body["user"]["is_superuser"] == true);
    match attempt {
        _ if is_superuser => excessive_rights("AUTHENTIK_TOKEN belongs to an administrator"),
        Ok(HttpResponse { status: 403, .. }) => Verdict::ok("may not write"),
        Ok(HttpResponse { status: 400, .. }) => excessive_rights("AUTHENTIK_TOKEN may create users"),
        Ok(response) => Verdict::skipped(format!(
            "authentik answers an attempt to create an empty user with status {}",
            response.status
        )),
        Err(problem) => Verdict::skipped(format!(
            "authentik does not answer an attempt to create an empty user: {problem}"
        )),
    }
}

fn excessive_rights(what: &str) -> Verdict {
    Verdict::warning(
        format!("{what}: if it leaks, it can be used to change authentik"),
        "use the token of the service account authentik-events, whose role can only view",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn response(status: u16, body: Value) -> HttpResponse {
        HttpResponse { status, body, clock_ahead: None }
    }

    #[test]
    fn a_refusal_quotes_authentiks_reason() {
        let refused = testkit::recordings::json("rest/bad_token_403.json");
        let refused = Ok(response(403, refused["body"].clone()));
        let problems = accepted("AUTHENTIK_TOKEN", "", &refused).problems();
        assert_eq!(problems[0].what, "authentik refuses AUTHENTIK_TOKEN: Token invalid/expired");
        let me = testkit::recordings::json("rest/me.json");
        assert!(accepted("AUTHENTIK_TOKEN", "", &Ok(response(200, me["body"].clone()))).is_ok());
        for other in
            [Ok(response(404, Value::Null)), Ok(response(200, json!({"login": "page"}))), Err("away".into())]
        {
            assert!(!accepted("AUTHENTIK_TOKEN", "", &other).is_ok());
        }
    }

    #[test]
    fn each_missing_right_is_a_finding() {
        let answers = [200, 403, 403].map(|status| Ok(response(status, json!({}))));
        let problems = may_view(&answers).problems();
        let what: Vec<_> = problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(what, ["AUTHENTIK_TOKEN may not view groups", "AUTHENTIK_TOKEN may not view events"]);
    }

    #[test]
    fn write_access_is_a_finding_and_an_unclear_response_is_skipped() {
        let me = Ok(response(200, json!({"user": {"is_superuser": false}})));
        assert!(may_not_write(&me, &Ok(response(403, Value::Null))).is_ok());
        assert!(matches!(may_not_write(&me, &Ok(response(400, Value::Null))), Verdict::Problems(_)));
        assert!(matches!(may_not_write(&me, &Ok(response(405, Value::Null))), Verdict::Skipped(_)));
        let me = Ok(response(200, json!({"user": {"is_superuser": true}})));
        assert!(matches!(may_not_write(&me, &Ok(response(403, Value::Null))), Verdict::Problems(_)));
    }
}
