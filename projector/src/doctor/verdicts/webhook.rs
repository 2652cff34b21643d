//! The objects that the blueprint creates in authentik, compared with their present state.

use serde::Deserialize;
use uuid::Uuid;

use super::super::finding::Verdict;

/// Name of the transport, the rule and the group.
pub(crate) const NAME: &str = "authentik-events";

/// Path of an ingress's webhook URL.
const PATH: &str = "/authentik/webhook";

const APPLY: &str = "apply the blueprint authentik-events.yaml again";

/// An object of `/events/transports/`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Transport {
    pub(crate) pk: Uuid,
    name: String,
    mode: String,
    #[serde(default)]
    webhook_url: Option<String>,
    #[serde(default)]
    pub(crate) webhook_mapping_body: Option<Uuid>,
    #[serde(default)]
    pub(crate) webhook_mapping_headers: Option<Uuid>,
    send_once: bool,
}

/// An object of `/propertymappings/notification/`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mapping {
    pk: Uuid,
    name: String,
    expression: String,
}

/// An object of `/events/rules/`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rule {
    pub(crate) pk: Uuid,
    name: String,
    transports: Vec<Uuid>,
    pub(crate) destination_group: Option<Uuid>,
}

/// Finds the transport, whose mode must be "webhook".
pub(crate) fn transport(transports: Vec<Transport>) -> Result<Transport, Verdict> {
    let found = transports.into_iter().find(|transport| transport.name == NAME);
    let found = found.ok_or_else(|| {
        let what = format!("there is no notification transport {NAME}: authentik sends no webhooks");
        Verdict::fault(what, APPLY)
    })?;
    if found.mode == "webhook" {
        return Ok(found);
    }
    let what = format!("the mode of the transport {NAME} is {} instead of webhook", found.mode);
    Err(Verdict::fault(what, "set the transport's mode to Webhook (generic)"))
}

/// Whether the transport's URL is the wanted one. No finding shows a URL, which can contain a password.
pub(crate) fn url(transport: &Transport, wanted: Option<&str>) -> Verdict {
    let url = transport.webhook_url.as_deref().unwrap_or_default();
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let is_right = wanted.map_or_else(|| path.ends_with(PATH), |wanted| wanted == url);
    if is_right {
        let observed =
            if wanted.is_some() { "equals EVENTS_WEBHOOK_URL" } else { "has the path of an ingress" };
        return Verdict::ok(observed);
    }
    let what = match wanted {
        Some(_) => "the transport's webhook URL differs from EVENTS_WEBHOOK_URL (--webhook-url)".to_owned(),
        None => format!("the transport's webhook URL does not end in {PATH}, the path of an ingress"),
    };
    Verdict::fault(
        what,
        format!("set the URL to http://<ingress>:8080{PATH} (EVENTS_WEBHOOK_URL of the blueprint)"),
    )
}

/// Whether each event is sent once, regardless of the number of group members.
pub(crate) fn send_once(transport: &Transport) -> Verdict {
    if transport.send_once {
        return Verdict::ok("on");
    }
    Verdict::fault(
        "send_once is off: authentik sends each event once per member of the group",
        "enable send_once in the transport",
    )
}

/// Whether the transport uses a mapping with the expression of this version. `part` is `body` or `headers`.
pub(crate) fn mapping(part: &str, chosen: Option<Uuid>, mappings: &[Mapping], ours: &str) -> Verdict {
    let name = format!("{NAME} {part}");
    let Some(mapping) = chosen.and_then(|pk| mappings.iter().find(|mapping| mapping.pk == pk)) else {
        return Verdict::fault(
            format!("the transport has no webhook mapping for the {part}"),
            format!("select `{name}` in the transport, or {APPLY}"),
        );
    };
    // Ignore line endings and trailing whitespace, which an editor may change.
    if !mapping.expression.lines().map(str::trim_end).eq(ours.trim_end().lines().map(str::trim_end)) {
        return Verdict::fault(
            format!("the expression of the webhook mapping `{}` is not that of this version", mapping.name),
            format!("{APPLY}, or set the expression to the text of authentik/mappings/{part}.py"),
        );
    }
    // The headers' expression looks up the body's mapping by its name.
    if mapping.name != name {
        let what = format!("the webhook mapping for the {part} is called `{}`, not `{name}`", mapping.name);
        return Verdict::fault(what, format!("rename it to `{name}`"));
    }
    Verdict::ok("the mapping of this version")
}

/// Finds the rule, which must use the transport.
pub(crate) fn rule(rules: Vec<Rule>, transport: &Transport) -> Result<Rule, Verdict> {
    let found = rules.into_iter().find(|rule| rule.name == NAME);
    let found = found.ok_or_else(|| {
        Verdict::fault(format!("there is no notification rule {NAME}: authentik sends no webhooks"), APPLY)
    })?;
    if found.transports.contains(&transport.pk) {
        return Ok(found);
    }
    let what = format!("the rule {NAME} does not use the transport {NAME}");
    Err(Verdict::fault(what, "select the transport in the rule"))
}

/// Whether the rule notifies exactly one member, so that authentik sends each event once.
pub(crate) fn rule_group(n_members: Option<usize>) -> Verdict {
    match n_members {
        Some(1) => Verdict::ok("one member"),
        None => Verdict::fault(
            "the rule has no destination group: authentik sends no webhooks",
            format!("select the group {NAME} in the rule"),
        ),
        Some(0) => Verdict::fault(
            "the rule's destination group has no member: authentik sends no webhooks",
            format!("add the service account {NAME} to the group"),
        ),
        Some(n) => Verdict::warning(
            format!(
                "the rule's destination group has {n} members: without send_once each event is sent {n} times"
            ),
            format!("remove all members but the service account {NAME} from the group"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(fields: &serde_json::Value) -> Transport {
        let mut transport = json!({"pk": Uuid::nil(), "name": NAME, "mode": "webhook", "send_once": true});
        transport.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(transport).unwrap()
    }

    #[test]
    fn a_url_must_be_the_wanted_one_or_have_the_path_of_an_ingress() {
        let is_ok = |url: &str, wanted| super::url(&given(&json!({"webhook_url": url})), wanted).is_ok();
        assert!(is_ok("http://ingress:8080/authentik/webhook", None));
        assert!(!is_ok("http://ingress:8080/", None));
        assert!(!is_ok("", None));
        assert!(is_ok("https://events.example.com/hook", Some("https://events.example.com/hook")));
        assert!(!is_ok("http://ingress:8080/authentik/webhook", Some("http://other:8080/authentik/webhook")));
    }

    #[test]
    fn a_url_with_a_password_is_not_shown() {
        let transport = given(&json!({"webhook_url": "http://me:hush@ingress/"}));
        assert!(!format!("{:?}", url(&transport, None)).contains("hush"));
    }

    #[test]
    fn line_endings_and_a_final_newline_do_not_matter() {
        let mapping_of = |expression: &str| {
            let given = json!({"pk": Uuid::nil(), "name": "authentik-events body", "expression": expression});
            let mappings = [serde_json::from_value(given).unwrap()];
            mapping("body", Some(Uuid::nil()), &mappings, "a\n\nb\n").is_ok()
        };
        assert!(mapping_of("a\n\nb"));
        assert!(mapping_of("a\r\n\r\nb\r\n"));
        assert!(!mapping_of("a\nb"));
        assert!(!mapping_of("a\n\n b"));
    }

    #[test]
    fn a_mapping_with_another_name_is_a_problem() {
        let mapping_called = json!({"pk": Uuid::nil(), "name": "body", "expression": "a"});
        let mappings = [serde_json::from_value(mapping_called).unwrap()];
        assert!(!mapping("body", Some(Uuid::nil()), &mappings, "a").is_ok());
        assert!(!mapping("body", None, &mappings, "a").is_ok());
    }
}
