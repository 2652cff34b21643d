//! Which of authentik's events the notification rule sends.

use serde::Deserialize;
use uuid::Uuid;

use super::super::finding::Verdict;

const USER: &str = "authentik_core.user";
const GROUP: &str = "authentik_core.group";

/// The events that `domain::hint` turns into hints: action, and model if there is one.
const NEEDED: [(&str, Option<&str>); 16] = [
    ("model_created", Some(USER)),
    ("model_updated", Some(USER)),
    ("model_deleted", Some(USER)),
    ("model_created", Some(GROUP)),
    ("model_updated", Some(GROUP)),
    ("model_deleted", Some(GROUP)),
    ("user_write", None),
    ("login", None),
    ("login_failed", None),
    ("logout", None),
    ("password_set", None),
    ("authorize_application", None),
    ("source_linked", None),
    ("suspicious_request", None),
    ("impersonation_started", None),
    ("impersonation_ended", None),
];

/// An object of `/policies/bindings/`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Binding {
    policy: Option<Uuid>,
    enabled: bool,
    negate: bool,
}

/// An object of `/policies/event_matcher/`. A null criterion matches everything, an empty text nothing.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Matcher {
    pk: Uuid,
    action: Option<String>,
    client_ip: Option<String>,
    app: Option<String>,
    model: Option<String>,
}

/// An object of `/policies/expression/`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Expression {
    pk: Uuid,
    expression: String,
}

impl Matcher {
    /// Whether all events with this action and model pass. Criteria for app or client address exclude some.
    fn passes(&self, action: &str, model: Option<&str>) -> bool {
        self.client_ip.is_none()
            && self.app.is_none()
            && self.action.as_deref().is_none_or(|wanted| wanted == action)
            && self.model.as_deref().is_none_or(|wanted| Some(wanted) == model)
    }
}

impl Expression {
    /// Whether the Python expression contains the action as a string: then it probably passes the action.
    fn names(&self, action: &str) -> bool {
        ['"', '\''].into_iter().any(|quote| self.expression.contains(&format!("{quote}{action}{quote}")))
    }
}

/// Whether the rule sends all needed events. An event is sent if any bound and enabled policy passes it.
pub(crate) fn matchers(bindings: &[Binding], matchers: &[Matcher], expressions: &[Expression]) -> Verdict {
    let in_force = bindings.iter().filter(|binding| binding.enabled && !binding.negate);
    let bound: Vec<Uuid> = in_force.filter_map(|binding| binding.policy).collect();
    let is_sent = |action: &str, model: Option<&str>| {
        matchers.iter().any(|matcher| bound.contains(&matcher.pk) && matcher.passes(action, model))
            || expressions.iter().any(|expression| bound.contains(&expression.pk) && expression.names(action))
    };
    let unsent = NEEDED.into_iter().filter(|(action, model)| !is_sent(action, *model));
    let unsent: Vec<String> = unsent
        .map(|(action, model)| match model {
            Some(model) => format!("{action} of {model}"),
            None => action.to_owned(),
        })
        .collect();
    if unsent.is_empty() {
        return Verdict::ok(format!("all {} needed kinds of events are sent", NEEDED.len()));
    }
    Verdict::fault(
        format!("the rule sends no {}", unsent.join(", no ")),
        "bind an event matcher for each of them to the rule authentik-events and enable the binding, or apply the \
         blueprint authentik-events.yaml again",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PK: &str = "3b0f7d9c-7a34-4c56-9d0e-5f5b0c1e8000";

    fn check(matcher: &Value, binding: &Value, expected: &[&str]) {
        let mut full = json!({"pk": PK, "action": null, "client_ip": null, "app": null, "model": null});
        full.as_object_mut().unwrap().extend(matcher.as_object().unwrap().clone());
        let mut bound = json!({"policy": PK, "enabled": true, "negate": false});
        bound.as_object_mut().unwrap().extend(binding.as_object().unwrap().clone());
        let matcher: Matcher = serde_json::from_value(full).unwrap();
        let problems = matchers(&[serde_json::from_value(bound).unwrap()], &[matcher], &[]).problems();
        let what = problems.first().map(|problem| problem.what.trim_start_matches("the rule sends "));
        let unsent: Vec<_> = what.into_iter().flat_map(|what| what.split(", ")).collect();
        assert_eq!(unsent.len(), expected.first().map_or(0, |n| n.parse().unwrap()), "{unsent:?}");
        for part in expected.iter().skip(1) {
            assert!(unsent.iter().any(|one| *one == format!("no {part}")), "{unsent:?}");
        }
    }

    #[test]
    fn every_needed_action_becomes_a_hint() {
        use domain::event::Channel;
        use domain::hint::{Parsed, read};
        for (action, model) in NEEDED {
            let (name, pk) = match model {
                Some(GROUP) => ("group", json!(Uuid::nil())),
                _ => ("user", json!(8)),
            };
            let model = model.map(|_| json!({"app": "authentik_core", "model_name": name, "pk": pk}));
            let event = json!({"action": action, "actor": {"pk": 8}, "model": model, "context": {}});
            let body = json!({"schema": "authentik.event.v1", "event": event}).to_string();
            let reading = read(Uuid::nil().into(), Channel::Webhook, body.as_bytes()).unwrap();
            assert!(matches!(reading, Parsed::Hint(_)), "{action}");
        }
    }

    #[test]
    fn a_matcher_without_criteria_sends_every_event() {
        check(&json!({}), &json!({}), &[]);
    }

    #[test]
    fn a_criterion_excludes_other_events() {
        check(&json!({"model": GROUP}), &json!({}), &["13", "login", "model_updated of authentik_core.user"]);
        check(&json!({"action": "login"}), &json!({}), &["15", "logout"]);
        check(&json!({"action": ""}), &json!({}), &["16"]);
        check(&json!({"client_ip": "192.0.2.7"}), &json!({}), &["16"]);
    }

    #[test]
    fn a_disabled_or_negated_binding_sends_nothing() {
        for binding in [json!({"enabled": false}), json!({"negate": true}), json!({"policy": null})] {
            check(&json!({}), &binding, &["16"]);
        }
    }

    #[test]
    fn an_expression_counts_for_the_actions_that_it_names() {
        let binding = json!({"policy": PK, "enabled": true, "negate": false});
        let expression = json!({"pk": PK, "expression": "return event.action in (\"login\", 'logout')"});
        let (bindings, expressions) =
            ([serde_json::from_value(binding).unwrap()], [serde_json::from_value(expression).unwrap()]);
        let problems = matchers(&bindings, &[], &expressions).problems();
        assert!(
            !problems[0].what.contains("no login,") && !problems[0].what.contains("logout"),
            "{problems:?}"
        );
        assert!(problems[0].what.contains("no login_failed"), "{problems:?}");
    }
}
