//! Logs and metrics contain neither secrets nor personal data, even when something fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use e2e::System;
use e2e::settings::READER_TOKEN;
use e2e::system::Setup;
use reqwest::{Client, Method};
use serde_json::json;
use testkit::eventually;

/// Log filter for everything that this project's code logs.
const EVERYTHING: &str =
    "info,poem=warn,ingress=trace,projector=trace,api=trace,runtime=trace,store=trace,domain=trace";

/// Personal data of a user, which must not occur in logs and metrics.
const USERNAME: &str = "zoe.q-private";
const NAME: &str = "Zoë Quimby-Private";
const EMAIL: &str = "zoe.q-private@private.example";
const BADGE: &str = "badge-31415-private";
const ADDRESS: &str = "203.0.113.77";

async fn create_and_change_user(system: &System) -> i64 {
    let authentik = &system.authentik;
    let pk = authentik.create_user(USERNAME).await;
    let fields = json!({"name": NAME, "email": EMAIL, "attributes": {"badge": BADGE}});
    authentik.update_user(pk, fields).await;
    authentik.sign_in(pk).await;
    authentik
        .emit("login_failed", pk, json!({"username": USERNAME, "http_request": {"remote_addr": ADDRESS}}))
        .await;
    authentik.set_password(pk).await;
    let group = authentik.create_group("private-club").await;
    authentik.add_to_group(&group, pk).await;
    eventually("the user is recorded with all personal data", || async {
        let (_, view) = system.get(&format!("/api/users/{pk}"), "akadmin").await;
        let user = &view["user"];
        (user["email"] == EMAIL && user["attributes"]["badge"] == BADGE).then_some(())
    })
    .await;
    pk
}

/// Posts invalid webhooks that contain personal data.
async fn post_invalid_webhooks(system: &System) {
    let url = format!("{}/authentik/webhook", system.ingress_urls[0]);
    let body = format!(r#"{{"event_type":"model_updated","pk":"{USERNAME}","email":"{EMAIL}"}}"#);
    let post = || Client::new().post(&url).header("content-type", "application/json").body(body.clone());
    assert_eq!(post().send().await.unwrap().status().as_u16(), 401);
    let forged = post().header("webhook-id", EMAIL).header("webhook-timestamp", "1");
    let forged = forged.header("webhook-signature", "v1,c2VjcmV0LXByaXZhdGU=").send().await.unwrap();
    assert!(forged.status().is_client_error());
}

/// Sends various requests to the API, some with personal data or tokens in the URL. Returns the tokens.
async fn send_requests(system: &System, pk: i64) -> Vec<String> {
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
async fn logs_and_metrics_contain_neither_personal_data_nor_secrets() {
    let setup = Setup { log_filter: EVERYTHING, ..Setup::default() };
    let mut system = System::start_with(setup).await;
    let pk = create_and_change_user(&system).await;
    post_invalid_webhooks(&system).await;
    let tokens = send_requests(&system, pk).await;
    // Errors are logged in detail: cause some.
    system.authentik.faults(json!({"rest_status": 500})).await;
    system.authentik.emit("model_updated", pk, json!({"model": {"name": NAME}})).await;
    eventually("the projector reports that authentik fails", || async {
        system.projector_readiness().await.contains("authentik").then_some(())
    })
    .await;
    system.nats.restart().await;
    system.authentik.faults(json!({"rest_status": null})).await;
    system.authentik.delete_user(pk).await;
    eventually("the deletion is recorded", || async {
        (system.get(&format!("/api/users/{pk}"), "akadmin").await.1["status"] == "deleted").then_some(())
    })
    .await;
    system.operate(&["forget", &pk.to_string()]).await;

    let output = system.logs_and_metrics().await;
    assert!(
        output.contains("GET /api/users/{id}") && output.contains("projector_deliveries_total"),
        "{output}"
    );
    let secrets =
        ["nats-password", "e2e-webhook-secret", "ZTJlLXdlYmhvb2s", READER_TOKEN, "c2VjcmV0LXByaXZhdGU"];
    let personal = ["private", "Zoë", "Quimby", ADDRESS];
    let tokens = tokens.iter().flat_map(|token| token.split('.'));
    for text in secrets.into_iter().chain(personal).chain(tokens) {
        let line = output.lines().find(|line| line.contains(text));
        assert_eq!(line, None, "{text} is in logs or metrics");
    }
}
