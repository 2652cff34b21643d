//! What the blueprint sets up in authentik, and what came of it.

use serde::Deserialize;
use uuid::Uuid;

use super::super::finding::Verdict;

/// What the transport and the rule are called.
pub(crate) const NAME: &str = "authentik-events";

/// The end of an ingress's address.
const PATH: &str = "/authentik/webhook";

const APPLY: &str = "apply the blueprint authentik-events.yaml again";

/// `/events/transports/`.
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

/// `/propertymappings/notification/`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mapping {
    pk: Uuid,
    name: String,
    expression: String,
}

/// `/events/rules/`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rule {
    pub(crate) pk: Uuid,
    name: String,
    transports: Vec<Uuid>,
    pub(crate) destination_group: Option<Uuid>,
}

/// The transport of this name.
pub(crate) fn transport(transports: Vec<Transport>) -> Result<Transport, Verdict> {
    let found = transports.into_iter().find(|transport| transport.name == NAME);
    let found = found.ok_or_else(|| {
        Verdict::fault(format!("there is no notification transport {NAME}: no webhook is sent"), APPLY)
    })?;
    if found.mode == "webhook" {
        return Ok(found);
    }
    let what =
        format!("the mode of the transport {NAME} is {}, not webhook: no event is sent as it is", found.mode);
    Err(Verdict::fault(what, "set its mode to Webhook (generic)"))
}

/// Where the transport leads. No URL is shown: it can have a password in it.
pub(crate) fn url(transport: &Transport, wanted: Option<&str>) -> Verdict {
    let url = transport.webhook_url.as_deref().unwrap_or_default();
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let is_right = wanted.map_or_else(|| path.ends_with(PATH), |wanted| wanted == url);
    if is_right {
        return Verdict::well(if wanted.is_some() { "as wanted" } else { "the path is an ingress's" });
    }
    let what = match wanted {
        Some(_) => "the transport's webhook URL is not EVENTS_WEBHOOK_URL (--webhook-url)".to_owned(),
        None => format!("the transport's webhook URL does not end in {PATH}: no ingress is there"),
    };
    Verdict::fault(
        what,
        format!("set it to http://<ingress>:8080{PATH} (EVENTS_WEBHOOK_URL of the blueprint)"),
    )
}

/// Whether each event is sent once, however many members the group has.
pub(crate) fn send_once(transport: &Transport) -> Verdict {
    if transport.send_once {
        return Verdict::well("on");
    }
    Verdict::fault(
        "send_once is off: each event is sent for each member of the group",
        "switch it on in the transport",
    )
}

/// Whether the transport has this mapping, and its expression is ours. `part` is `body` or `headers`.
pub(crate) fn mapping(part: &str, chosen: Option<Uuid>, mappings: &[Mapping], ours: &str) -> Verdict {
    let name = format!("{NAME} {part}");
    let Some(mapping) = chosen.and_then(|pk| mappings.iter().find(|mapping| mapping.pk == pk)) else {
        return Verdict::fault(
            format!("the transport has no webhook mapping for the {part}"),
            format!("choose `{name}` in the transport, or {APPLY}"),
        );
    };
    // What an editor does to the ends of lines changes nothing.
    if !mapping.expression.lines().map(str::trim_end).eq(ours.trim_end().lines().map(str::trim_end)) {
        return Verdict::fault(
            format!("the expression of the webhook mapping `{}` is not that of this version", mapping.name),
            format!("{APPLY}, or put authentik/mappings/{part}.py into it"),
        );
    }
    // The expression of the headers looks up the one of the body by this name.
    if mapping.name != name {
        let what = format!("the webhook mapping for the {part} is called `{}`, not `{name}`", mapping.name);
        return Verdict::fault(what, "give it that name: the headers' mapping looks for it");
    }
    Verdict::well("ours")
}

/// The rule of this name, which must send by the transport.
pub(crate) fn rule(rules: Vec<Rule>, transport: &Transport) -> Result<Rule, Verdict> {
    let found = rules.into_iter().find(|rule| rule.name == NAME);
    let found = found.ok_or_else(|| {
        Verdict::fault(format!("there is no notification rule {NAME}: nothing is sent"), APPLY)
    })?;
    if found.transports.contains(&transport.pk) {
        return Ok(found);
    }
    let what = format!("the rule {NAME} does not send by the transport {NAME}");
    Err(Verdict::fault(what, "choose the transport in the rule"))
}

/// Whether the rule notifies exactly one member, so that each event is sent exactly once.
pub(crate) fn rule_group(n_members: Option<usize>) -> Verdict {
    match n_members {
        Some(1) => Verdict::well("one member"),
        None => Verdict::fault(
            "the rule has no destination group: nothing is sent",
            format!("choose the group {NAME} in the rule"),
        ),
        Some(0) => Verdict::fault(
            "the rule's destination group has no member: nothing is sent",
            format!("make the service account {NAME} its member"),
        ),
        Some(n) => Verdict::warning(
            format!(
                "the rule's destination group has {n} members: without send_once each event is sent {n} times"
            ),
            format!("leave the service account {NAME} alone in it"),
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
    fn a_url_must_be_the_wanted_one_or_an_ingress() {
        let is_well = |url: &str, wanted| super::url(&given(&json!({"webhook_url": url})), wanted).is_well();
        assert!(is_well("http://ingress:8080/authentik/webhook", None));
        assert!(!is_well("http://ingress:8080/", None));
        assert!(!is_well("", None));
        assert!(is_well("https://events.example.com/hook", Some("https://events.example.com/hook")));
        assert!(!is_well(
            "http://ingress:8080/authentik/webhook",
            Some("http://other:8080/authentik/webhook")
        ));
    }

    #[test]
    fn a_url_with_a_password_is_not_shown() {
        let transport = given(&json!({"webhook_url": "http://me:hush@ingress/"}));
        assert!(!format!("{:?}", url(&transport, None)).contains("hush"));
    }

    #[test]
    fn ends_of_lines_and_of_the_text_are_no_difference() {
        let mapping_of = |expression: &str| {
            let given = json!({"pk": Uuid::nil(), "name": "authentik-events body", "expression": expression});
            let mappings = [serde_json::from_value(given).unwrap()];
            mapping("body", Some(Uuid::nil()), &mappings, "a\n\nb\n").is_well()
        };
        assert!(mapping_of("a\n\nb"));
        assert!(mapping_of("a\r\n\r\nb\r\n"));
        assert!(!mapping_of("a\nb"));
        assert!(!mapping_of("a\n\n b"));
    }

    #[test]
    fn the_headers_must_find_the_body_by_its_name() {
        let mapping_called = json!({"pk": Uuid::nil(), "name": "body", "expression": "a"});
        let mappings = [serde_json::from_value(mapping_called).unwrap()];
        assert!(!mapping("body", Some(Uuid::nil()), &mappings, "a").is_well());
        assert!(!mapping("body", None, &mappings, "a").is_well());
    }
}
