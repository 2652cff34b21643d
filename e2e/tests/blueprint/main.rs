//! The blueprints for authentik and the code agree with each other.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

mod blueprint;
mod python;
mod sender;
mod sign_up;

use std::collections::BTreeSet;

use blueprint::{Blueprint, tagged};
use domain::event::Channel;
use domain::hint::Parsed;
use e2e::process::Process;
use reqwest::Client;
use sender::Sent;
use serde_json::{Value, json};
use testkit::recordings::{self, names};
use testkit::{NatsServer, free_port};

const SECRET: &str = "whsec_Ymx1ZXByaW50LXNlY3JldC0wMTIzNDU2Nzg5YWJjZGVm";
/// The actions of authentik 2026.2.
const ACTIONS: &str = "login login_failed logout user_write suspicious_request password_set secret_view secret_rotate \
    invitation_used authorize_application source_linked impersonation_started impersonation_ended flow_execution \
    policy_execution policy_exception property_mapping_exception system_task_execution system_task_exception \
    system_exception configuration_error configuration_warning model_created model_updated model_deleted email_sent \
    update_available export_ready custom_notification_test";
const USER: &str = "authentik_core.user";
const GROUP: &str = "authentik_core.group";

/// All recorded bodies that a real authentik sent with the blueprint's mapping.
fn recorded() -> Vec<String> {
    let recordings =
        names("webhooks").into_iter().map(|name| recordings::json(&format!("webhooks/{name}.json")));
    // Other recordings contain several attempts, or were made without a mapping.
    let bodies = recordings.filter_map(|recording| Some(recording["body"].as_str()?.to_owned()));
    let bodies: Vec<_> = bodies.filter(|body| body.contains("authentik.event.v1")).collect();
    assert!(bodies.len() > 20, "only {} recordings", bodies.len());
    bodies
}

#[test]
fn the_expressions_equal_the_files_in_mappings() {
    let blueprint = Blueprint::read();
    let body = include_str!("../../../authentik/mappings/body.py");
    let headers = include_str!("../../../authentik/mappings/headers.py");
    assert_eq!(blueprint.expression("authentik-events body"), body);
    assert_eq!(blueprint.expression("authentik-events headers"), headers);
}

#[test]
fn the_mapping_produces_the_bytes_that_a_real_authentik_sent() {
    let recorded = recorded();
    let sent = sender::send(&Blueprint::read(), SECRET, &recorded);
    let sent: Vec<_> = sent.into_iter().map(|sent| sent.body).collect();
    assert_eq!(sent, recorded);
}

#[tokio::test(flavor = "multi_thread")]
async fn ingress_accepts_and_stores_what_the_mappings_produce() {
    let blueprint = Blueprint::read();
    let mut bodies = recorded();
    // authentik sanitizes the body before it sends it. The signature matches only if the expression for the
    // headers sanitizes it in the same way.
    let mut unsanitized: Value = serde_json::from_str(&bodies[0]).unwrap();
    unsanitized["event"]["id"] = json!("00000000-0000-4000-8000-000000000001");
    unsanitized["event"]["context"] = json!({
        "list": ["kept", "", 0, null, {"$uuid": "00000000-0000-4000-8000-000000000002"}],
        "when": {"$time": "2026-11-22T08:52:31.762243+00:00"},
        "name": "Zoë \u{1f680}",
    });
    bodies.push(unsanitized.to_string());
    let sent = sender::send(&blueprint, SECRET, &bodies);

    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let environment = vec![
        ("NATS_URL", server.url()),
        ("INGRESS_LISTEN", format!("127.0.0.1:{port}")),
        ("WEBHOOK_SECRETS", SECRET.to_owned()),
    ];
    let ingress = Process::start("ingress", directory.path(), environment);
    ingress.ready(&format!("http://127.0.0.1:{port}")).await;
    let default = reqwest::Url::parse(blueprint.default_of("webhook_url")).unwrap();
    let url = format!("http://127.0.0.1:{port}{}", default.path());

    for Sent { headers, body } in &sent {
        for expected in [204, 200] {
            let mut request = Client::new().post(&url).header("Content-Type", "application/json");
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let answer = request.body(body.clone()).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), expected, "{}", answer.text().await.unwrap());
        }
        let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
        let id = headers["webhook-id"].parse().unwrap();
        let stored = inbox.get_last_raw_message_by_subject(&nats.namespace.inbox_subject(&id)).await.unwrap();
        assert_eq!(stored.payload, body.as_bytes());
    }
    assert!(sent.last().unwrap().body.contains(r#""list": ["kept", "00000000000040008000000000000002"]"#));
}

/// Action and model of each event matcher.
fn matchers(blueprint: &Blueprint) -> Vec<(Option<&str>, Option<&str>)> {
    let matchers = blueprint.all("authentik_policies_event_matcher.eventmatcherpolicy");
    let attributes = matchers.into_iter().map(|matcher| &matcher["attrs"]);
    attributes
        .map(|attributes| {
            assert!(
                attributes.get("action").is_some(),
                "authentik's server crashes if a matcher has no action: {attributes:?}"
            );
            (attributes["action"].as_str(), attributes.get("model").and_then(serde_yaml::Value::as_str))
        })
        .collect()
}

/// Whether a delivery of this event becomes a hint.
fn gives_a_hint(action: &str, model: Option<&str>) -> bool {
    let model = model.map(|model| {
        let pk = if model == USER { json!(42) } else { json!("ae8a94cdfbb94c02a44ee19eb13a8e80") };
        let (app, name) = model.split_once('.').unwrap();
        json!({"app": app, "model_name": name, "pk": pk, "name": "x"})
    });
    let event = json!({"action": action, "actor": {"pk": 42}, "model": model, "context": {}});
    let body = json!({"schema": "authentik.event.v1", "event": event}).to_string();
    let id = "f9fc2ade-fae3-4865-a48c-7fb4d921559e".parse().unwrap();
    let parsed = domain::hint::read(id, Channel::Webhook, body.as_bytes()).unwrap();
    matches!(parsed, Parsed::Hint(_))
}

#[test]
fn the_rule_sends_exactly_the_events_that_give_hints() {
    let blueprint = Blueprint::read();
    let matchers = matchers(&blueprint);
    let is_sent = |action: &str, model: Option<&str>| {
        matchers.iter().any(|(wanted, wanted_model)| {
            wanted.is_none_or(|wanted| wanted == action)
                && wanted_model.is_none_or(|wanted| Some(wanted) == model)
        })
    };
    for action in ACTIONS.split_whitespace() {
        let is_about_a_model = action.starts_with("model_");
        let models: &[_] =
            if is_about_a_model { &[Some(USER), Some(GROUP), Some("x.token")] } else { &[None] };
        for model in models {
            assert_eq!(is_sent(action, *model), gives_a_hint(action, *model), "{action} {model:?}");
        }
    }
    for (action, _) in &matchers {
        assert!(
            action.is_none_or(|action| ACTIONS.split_whitespace().any(|known| known == action)),
            "{action:?}"
        );
    }
}

#[test]
fn every_matcher_is_bound_to_the_rule_and_the_rule_notifies_a_group_by_the_transport() {
    let blueprint = Blueprint::read();
    let matchers = blueprint.all("authentik_policies_event_matcher.eventmatcherpolicy");
    let ids: BTreeSet<_> = matchers.iter().map(|matcher| matcher["id"].as_str().unwrap()).collect();
    let bindings = blueprint.all("authentik_policies.policybinding");
    let bound = bindings.iter().map(|binding| &binding["identifiers"]).map(|binding| {
        assert_eq!(tagged(&binding["target"], "KeyOf"), "rule");
        tagged(&binding["policy"], "KeyOf").as_str().unwrap()
    });
    assert_eq!(bound.collect::<BTreeSet<_>>(), ids);
    let orders: BTreeSet<_> =
        bindings.iter().map(|binding| binding["identifiers"]["order"].as_u64()).collect();
    assert_eq!(orders.len(), bindings.len());

    let rule = &blueprint.one("authentik_events.notificationrule")["attrs"];
    assert_eq!(tagged(&rule["destination_group"], "KeyOf"), "destination");
    assert_eq!(tagged(&rule["transports"][0], "KeyOf"), "transport");
    let transport = &blueprint.one("authentik_events.notificationtransport")["attrs"];
    assert_eq!(transport["send_once"], true);
    assert_eq!(tagged(&transport["webhook_url"], "Context"), "webhook_url");
    assert_eq!(tagged(&transport["webhook_mapping_body"], "KeyOf"), "body-mapping");
    assert_eq!(tagged(&transport["webhook_mapping_headers"], "KeyOf"), "headers-mapping");
}

#[test]
fn the_service_account_may_only_read() {
    let blueprint = Blueprint::read();
    let role = blueprint.one("authentik_rbac.role");
    let permissions = role["attrs"]["permissions"].as_sequence().unwrap();
    let permissions: BTreeSet<_> =
        permissions.iter().map(|permission| permission.as_str().unwrap()).collect();
    let needed = ["authentik_core.view_user", "authentik_core.view_group", "authentik_events.view_event"];
    assert_eq!(permissions, needed.into());
    let account = &blueprint.one("authentik_core.user")["attrs"];
    assert_eq!(account["roles"].as_sequence().unwrap().len(), 1);
    assert_eq!(tagged(&account["roles"][0], "KeyOf"), &role["id"]);
    assert_eq!(blueprint.one("authentik_core.group")["attrs"]["is_superuser"], false);
    let token = blueprint.one("authentik_core.token");
    assert_eq!(token["attrs"]["intent"], "api");
    assert_eq!(tagged(&token["attrs"]["key"], "Env"), tagged(&token["conditions"][0], "Env"));
}

#[test]
fn the_provider_issues_tokens_that_the_api_accepts() {
    let blueprint = Blueprint::read();
    let provider = &blueprint.one("authentik_providers_oauth2.oauth2provider")["attrs"];
    assert_eq!(provider["client_type"], "public");
    assert_eq!(provider["client_id"], "authentik-events");
    assert_eq!(provider["sub_mode"], "user_uuid");
    assert_eq!(tagged(&provider["signing_key"], "Find")[0], "authentik_crypto.certificatekeypair");
    // With `include_claims_in_id_token: false` access tokens lose these claims, too. The default is true.
    assert!(provider.get("include_claims_in_id_token").is_none());
    let scopes = provider["property_mappings"].as_sequence().unwrap().iter();
    let scopes: BTreeSet<_> = scopes
        .map(|mapping| tagged(mapping, "Find")[1][1].as_str().unwrap())
        .map(|name| name.strip_prefix("goauthentik.io/providers/oauth2/scope-").unwrap())
        .collect();
    // `profile` includes `groups`, which identify administrators; `offline_access` gives refresh tokens.
    assert_eq!(scopes, ["openid", "profile", "email", "offline_access"].into());
    assert_eq!(tagged(&provider["redirect_uris"][0]["url"], "Context"), "redirect_uri");
    assert!(blueprint.default_of("redirect_uri").ends_with("/auth/callback"));
}

#[test]
fn a_sign_out_ends_the_session_in_authentik_and_returns_to_the_page() {
    let blueprint = Blueprint::read();
    let provider = &blueprint.one("authentik_providers_oauth2.oauth2provider")["attrs"];
    let flow = tagged(&provider["invalidation_flow"], "Find");
    assert_eq!(
        (&flow[0], &flow[1][1]),
        (&"authentik_flows.flow".into(), &"default-invalidation-flow".into())
    );
    let applied = blueprint.all("authentik_blueprints.metaapplyblueprint");
    let mut paths = applied.iter().map(|entry| entry["attrs"]["identifiers"]["path"].as_str().unwrap());
    assert!(paths.any(|path| path == "default/flow-default-invalidation-flow.yaml"));
    let uris = provider["redirect_uris"].as_sequence().unwrap();
    assert!(uris.iter().any(|uri| uri["redirect_uri_type"] == "logout"));
}

/// authentik 2026.2 ignores `redirect_uri_type`, as its serializer ignores every field that it does not know.
#[test]
fn a_version_that_ignores_the_type_of_a_redirect_uri_allows_no_other_uri() {
    let blueprint = Blueprint::read();
    let provider = &blueprint.one("authentik_providers_oauth2.oauth2provider")["attrs"];
    let uris = provider["redirect_uris"].as_sequence().unwrap();
    for uri in uris {
        assert_eq!(uri["matching_mode"], "strict");
        assert_eq!(uri["url"], uris[0]["url"]);
        let names: BTreeSet<_> = uri.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap()).collect();
        let known = BTreeSet::from(["matching_mode", "url", "redirect_uri_type"]);
        assert!(names.is_subset(&known), "{names:?}");
    }
}

#[test]
fn references_point_backwards_and_created_objects_have_the_projects_name() {
    for blueprint in [Blueprint::read(), Blueprint::sign_up()] {
        check_references_and_names(&blueprint);
    }
    let variables: BTreeSet<_> = [Blueprint::read(), Blueprint::sign_up()]
        .iter()
        .flat_map(|blueprint| blueprint.with_tag("Env"))
        .map(|environment| environment[0].as_str().unwrap().to_owned())
        .collect();
    let named = ["EVENTS_API_TOKEN", "EVENTS_REDIRECT_URI", "EVENTS_WEBHOOK_URL"];
    assert_eq!(variables, named.map(str::to_owned).into());
}

fn check_references_and_names(blueprint: &Blueprint) {
    let mut defined = BTreeSet::new();
    for entry in blueprint.entries() {
        let text = serde_yaml::to_string(entry).unwrap();
        for rest in text.split("!KeyOf ").skip(1) {
            let id = rest.split_whitespace().next().unwrap().trim_matches(['\'', '"']);
            assert!(defined.contains(id), "{id} is referred to before its definition, or never defined");
        }
        if let Some(id) = entry["id"].as_str() {
            assert!(defined.insert(id.to_owned()), "{id} is defined twice");
        }
        let Some(identifiers) = entry.get("identifiers") else { continue };
        let name =
            ["name", "slug", "username", "identifier"].into_iter().find_map(|key| identifiers[key].as_str());
        assert!(name.is_none_or(|name| name.starts_with("authentik-events")), "{name:?}");
    }
}
