//! Which of authentik's events the rule sends.

use serde::Deserialize;
use uuid::Uuid;

use super::super::finding::Verdict;

const USER: &str = "authentik_core.user";
const GROUP: &str = "authentik_core.group";

/// Actions with the model that they are about, where there is one: what `domain::hint` makes something of.
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

/// `/policies/bindings/`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Binding {
    policy: Option<Uuid>,
    enabled: bool,
    negate: bool,
}

/// `/policies/event_matcher/`. Null matches everything; an empty text matches nothing.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Matcher {
    pk: Uuid,
    action: Option<String>,
    client_ip: Option<String>,
    app: Option<String>,
    model: Option<String>,
}

/// `/policies/expression/`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Expression {
    pk: Uuid,
    expression: String,
}

impl Matcher {
    /// All criteria that are set must hold; those of app and address would let some events of the kind pass alone.
    fn passes(&self, action: &str, model: Option<&str>) -> bool {
        self.client_ip.is_none()
            && self.app.is_none()
            && self.action.as_deref().is_none_or(|wanted| wanted == action)
            && self.model.as_deref().is_none_or(|wanted| Some(wanted) == model)
    }
}

impl Expression {
    /// A guess: an expression that lists actions names them. Python cannot be understood from outside.
    fn names(&self, action: &str) -> bool {
        ['"', '\''].into_iter().any(|quote| self.expression.contains(&format!("{quote}{action}{quote}")))
    }
}

/// Whether every event that something is made of is sent: any policy that is bound and switched on lets it pass.
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
        return Verdict::well(format!("{} kinds of events are sent", NEEDED.len()));
    }
    Verdict::fault(
        format!("the rule sends no {}", unsent.join(", no ")),
        "bind an event matcher for each to the rule authentik-events and enable it, or apply the blueprint \
         authentik-events.yaml again",
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
        let verdict = matchers(&[serde_json::from_value(bound).unwrap()], &[matcher], &[]);
        let unsent: Vec<String> = match verdict {
            Verdict::Wrong(problems) => problems[0]
                .what
                .trim_start_matches("the rule sends ")
                .split(", ")
                .map(str::to_owned)
                .collect(),
            Verdict::Well(_) | Verdict::Skipped(_) => vec![],
        };
        assert_eq!(unsent.len(), expected.first().map_or(0, |n| n.parse().unwrap()), "{unsent:?}");
        for part in expected.iter().skip(1) {
            assert!(unsent.iter().any(|one| one == &format!("no {part}")), "{unsent:?}");
        }
    }

    #[test]
    fn something_is_made_of_every_action_that_is_asked_for() {
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
    fn what_matches_everything_sends_everything() {
        check(&json!({}), &json!({}), &[]);
    }

    #[test]
    fn a_criterion_leaves_out_what_does_not_meet_it() {
        check(&json!({"model": GROUP}), &json!({}), &["13", "login", "model_updated of authentik_core.user"]);
        check(&json!({"action": "login"}), &json!({}), &["15", "logout"]);
        check(&json!({"action": ""}), &json!({}), &["16"]);
        check(&json!({"client_ip": "192.0.2.7"}), &json!({}), &["16"]);
    }

    #[test]
    fn a_binding_that_is_off_or_negated_sends_nothing() {
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
        let Verdict::Wrong(problems) = matchers(&bindings, &[], &expressions) else { panic!("well") };
        assert!(
            !problems[0].what.contains("no login,") && !problems[0].what.contains("logout"),
            "{problems:?}"
        );
        assert!(problems[0].what.contains("no login_failed"), "{problems:?}");
    }
}
