//! What the processes tell about themselves: neither secrets nor personal data, whatever happens.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use e2e::System;
use e2e::settings::READER_TOKEN;
use e2e::system::Setup;
use reqwest::{Client, Method};
use serde_json::json;
use testkit::eventually;

/// All that our own code logs.
const EVERYTHING: &str =
    "info,poem=warn,ingress=trace,projector=trace,api=trace,runtime=trace,store=trace,domain=trace";

/// What authentik knows of a user and nobody else needs to.
const USERNAME: &str = "zoe.q-private";
const NAME: &str = "Zoë Quimby-Private";
const EMAIL: &str = "zoe.q-private@private.example";
const BADGE: &str = "badge-31415-private";
const ADDRESS: &str = "203.0.113.77";

async fn lives(system: &System) -> i64 {
    let authentik = &system.authentik;
    let pk = authentik.create_user(USERNAME).await;
    let about = json!({"name": NAME, "email": EMAIL, "attributes": {"badge": BADGE}});
    authentik.update_user(pk, about).await;
    authentik.sign_in(pk).await;
    authentik
        .emit("login_failed", pk, json!({"username": USERNAME, "http_request": {"remote_addr": ADDRESS}}))
        .await;
    authentik.set_password(pk).await;
    let group = authentik.create_group("private-club").await;
    authentik.add_to_group(&group, pk).await;
    eventually("they are recorded with what they are called", || async {
        let (_, view) = system.ask(&format!("/api/users/{pk}"), "akadmin").await;
        let user = &view["user"];
        (user["email"] == EMAIL && user["attributes"]["badge"] == BADGE).then_some(())
    })
    .await;
    pk
}

/// Webhooks that cannot be used, each with a name in it.
async fn goes_wrong(system: &System) {
    let url = format!("{}/authentik/webhook", system.ingress_urls[0]);
    let body = format!(r#"{{"event_type":"model_updated","pk":"{USERNAME}","email":"{EMAIL}"}}"#);
    let post = || Client::new().post(&url).header("content-type", "application/json").body(body.clone());
    assert_eq!(post().send().await.unwrap().status().as_u16(), 401);
    let forged = post().header("webhook-id", EMAIL).header("webhook-timestamp", "1");
    let forged = forged.header("webhook-signature", "v1,c2VjcmV0LXByaXZhdGU=").send().await.unwrap();
    assert!(forged.status().is_client_error());
}

/// Requests of all sorts, some of them with what must not be in a URL. Returns what was shown to the API.
async fn asks(system: &System, pk: i64) -> Vec<String> {
    let tokens = [system.authentik.token("akadmin").await, system.authentik.token(USERNAME).await];
    for token in &tokens {
        for path in [
            "/api/me".to_owned(),
            format!("/api/users?search={USERNAME}"),
            format!("/api/users/{pk}/events"),
            format!("/api/users/{USERNAME}"),
            format!("/api/nothing/{EMAIL}?q={NAME}"),
            format!("/api/me?access_token={token}"),
        ] {
            system.call(Method::GET, &path, Some(token)).await;
        }
    }
    let broken = format!("{}x", tokens[0]);
    assert_eq!(system.call(Method::GET, "/api/me", Some(&broken)).await.status().as_u16(), 401);
    tokens.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_logs_nor_metrics_tell_who_anybody_is_or_what_opens_a_door() {
    let setup = Setup { log_filter: EVERYTHING, ..Setup::default() };
    let mut system = System::start_with(setup).await;
    let pk = lives(&system).await;
    goes_wrong(&system).await;
    let tokens = asks(&system, pk).await;
    // Trouble makes people talk.
    system.authentik.faults(json!({"rest_status": 500})).await;
    system.authentik.emit("model_updated", pk, json!({"model": {"name": NAME}})).await;
    eventually("the projector says that it has trouble", || async {
        system.projector_says().await.contains("authentik").then_some(())
    })
    .await;
    system.nats.restart().await;
    system.authentik.faults(json!({"rest_status": null})).await;
    system.authentik.delete_user(pk).await;
    eventually("the deletion is recorded", || async {
        (system.ask(&format!("/api/users/{pk}"), "akadmin").await.1["status"] == "deleted").then_some(())
    })
    .await;
    system.operate(&["forget", &pk.to_string()]).await;

    let told = system.tells().await;
    assert!(told.contains("GET /api/users/{id}") && told.contains("projector_deliveries_total"), "{told}");
    let secrets =
        ["nats-password", "e2e-webhook-secret", "ZTJlLXdlYmhvb2s", READER_TOKEN, "c2VjcmV0LXByaXZhdGU"];
    let personal = ["private", "Zoë", "Quimby", ADDRESS];
    let tokens = tokens.iter().flat_map(|token| token.split('.'));
    for text in secrets.into_iter().chain(personal).chain(tokens) {
        let line = told.lines().find(|line| line.contains(text));
        assert_eq!(line, None, "{text} is told");
    }
}
