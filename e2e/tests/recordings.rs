//! Every webhook recorded from a real authentik, through ingress and projector, with recorded REST answers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use clap::Parser;
use domain::hint::InternalHint;
use domain::key::Namespace;
use domain::timestamp::Timestamp;
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use runtime::CancellationToken;
use runtime::nats::Nats;
use serde_json::{Value, json};
use store::log::{EventLog, ReadFrom};
use store::publish::{NewMessage, publish};
use testkit::nats::inbox_is_drained;
use testkit::recordings::{self, Webhook};
use testkit::{NatsServer, eventually};

/// Answers of authentik's REST API by path.
type Answers = Arc<Mutex<BTreeMap<String, Value>>>;

/// Ingress and projector of one namespace, with a REST API that gives prepared answers.
struct Pipeline {
    nats: Nats,
    log: EventLog,
    answers: Answers,
    ingress: String,
    now: Arc<Mutex<Timestamp>>,
    shutdown: CancellationToken,
    tasks: tokio::task::JoinSet<anyhow::Result<()>>,
}

fn unix(seconds: i64) -> Timestamp {
    let epoch: Timestamp = "1970-01-01T00:00:00Z".parse().unwrap();
    (epoch.to_offset_date_time() + std::time::Duration::from_secs(seconds.unsigned_abs())).into()
}

impl Pipeline {
    async fn start(server: &NatsServer, namespace: &str) -> Self {
        let namespace: Namespace = namespace.parse().unwrap();
        let config = runtime::config::NatsConfig::plain(server.url(), namespace.clone());
        let shutdown = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        let answers = Answers::default();
        let rest = runtime::http::bind("127.0.0.1:0").await.unwrap();
        let authentik_url = format!("http://{}", rest.address());
        tasks.spawn(rest.serve(rest_api(Arc::clone(&answers)), shutdown.clone()));
        let nats_flags = [format!("--nats-url={}", server.url()), format!("--nats-namespace={namespace}")];
        let projector_flags = [
            "projector".to_owned(),
            "--projector-listen=127.0.0.1:0".to_owned(),
            format!("--authentik-url={authentik_url}"),
            "--authentik-token=token".to_owned(),
            "--sweep-interval=0".to_owned(),
        ];
        let projector = projector::Config::parse_from(projector_flags.iter().chain(&nats_flags));
        tasks.spawn(projector::run(projector, shutdown.clone()));
        let ingress_flags = [
            "ingress".to_owned(),
            "--ingress-listen=127.0.0.1:0".to_owned(),
            format!("--webhook-secrets={}", recordings::webhook_secret()),
            "--webhook-allow-unsigned=true".to_owned(),
        ];
        let ingress = ingress::Config::parse_from(ingress_flags.iter().chain(&nats_flags));
        let now = Arc::new(Mutex::new(unix(0)));
        let clock = Arc::clone(&now);
        let ingress =
            ingress::Ingress::bind(ingress, Arc::new(move || *clock.lock().unwrap())).await.unwrap();
        let ingress_url = format!("http://{}{}", ingress.address(), ingress::WEBHOOK_PATH);
        tasks.spawn(ingress.serve(shutdown.clone()));
        let health = runtime::health::Health::default();
        let nats = Nats::connect(&config, "test", &health).await.unwrap();
        nats.wait_for_streams(&[nats.namespace.dead_letters_stream()], &health, &shutdown).await.unwrap();
        let log = EventLog::open(&nats).await.unwrap();
        Self { nats, log, answers, ingress: ingress_url, now, shutdown, tasks }
    }

    fn answer(&self, path: &str, body: Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), body);
    }

    fn answer_404(&self, path: &str) {
        self.answers.lock().unwrap().remove(path);
    }

    /// Posts the recorded bytes with the recorded headers, at the recorded time. Returns the status.
    async fn post(&self, webhook: &Webhook) -> u16 {
        *self.now.lock().unwrap() = unix(webhook.timestamp());
        let client = reqwest::Client::new();
        let status = eventually("ingress is ready", || async {
            let mut request = client.post(&self.ingress).body(webhook.body.clone());
            for (name, value) in
                webhook.headers.iter().filter(|(name, _)| name != "Host" && name != "Content-Length")
            {
                request = request.header(name, value);
            }
            let status = request.send().await.unwrap().status().as_u16();
            (status != 503).then_some(status)
        });
        status.await
    }

    /// Puts a hint into the inbox and waits until it is processed, to record a state before the webhook.
    async fn process_hint(&self, hint: InternalHint) {
        let id = runtime::clock::new_id().into();
        let subject = self.nats.namespace.inbox_subject(&id);
        let payload = serde_json::to_vec(&hint).unwrap().into();
        let headers = async_nats::HeaderMap::new();
        publish(&self.nats, NewMessage { subject, headers, payload, expected: None }).await.unwrap();
        inbox_is_drained(&self.nats).await;
    }

    async fn events(&self) -> Vec<Value> {
        let filter = self.log.namespace().events_filter(None, None);
        let page = self.log.page(&filter, ReadFrom::Sequence(1), 100).await.unwrap();
        page.iter().map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    }

    async fn types(&self) -> Vec<String> {
        self.events().await.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
    }
}

fn rest_api(answers: Answers) -> impl poem::Endpoint {
    make_sync(move |request| {
        let path = request.uri().path().to_owned();
        let found = answers.lock().unwrap().get(&path).cloned();
        let kind = if path.contains("/groups/") { "Group" } else { "User" };
        let missing = json!({"detail": format!("No {kind} matches the given query.")});
        let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let body = found.unwrap_or(missing).to_string();
        Response::builder().status(status).content_type("application/json").body(body).into_response()
    })
}

const GROUP: &str = "988c253b-a935-48f7-85c7-97f6173fbfdd";

fn user_path(pk: i64) -> String {
    format!("/api/v3/core/users/{pk}/")
}

fn group_path(id: &str) -> String {
    format!("/api/v3/core/groups/{id}/")
}

/// A user as recorded from REST, with these fields replaced.
fn user(pk: i64, fields: &Value) -> Value {
    let mut user = recordings::json("rest/user.json")["body"].clone();
    user["pk"] = json!(pk);
    user["groups"] = json!([]);
    user["groups_obj"] = json!([]);
    for (field, value) in fields.as_object().unwrap() {
        user[field] = value.clone();
    }
    user
}

fn member(pk: i64, fields: &Value) -> Value {
    let mut user = user(pk, fields);
    user["groups"] = json!([GROUP]);
    user["groups_obj"] = json!([{"pk": GROUP, "name": "engineers-1200"}]);
    user
}

fn group(name: &str, users: &[i64]) -> Value {
    let mut group = recordings::json("rest/group_without_users.json")["body"].clone();
    group["pk"] = json!(GROUP);
    group["name"] = json!(name);
    group["users"] = json!(users);
    group
}

/// authentik's state of the user when the recorded webhook arrived, from the recording itself.
fn state_on_arrival(name: &str, pk: i64) -> Value {
    let state = recordings::json(&format!("webhooks/{name}.json"))["rest_state_when_received"].clone();
    let fields =
        ["is_active", "name", "groups", "last_updated"].map(|field| (field.to_owned(), state[field].clone()));
    user(pk, &Value::Object(fields.into_iter().collect()))
}

/// Posts a recorded webhook. Before that, `prepare` records earlier states and sets the answers of REST.
async fn run<'a, F: AsyncFnOnce(&Pipeline)>(
    server: &NatsServer,
    name: &'a str,
    prepare: F,
) -> (&'a str, Pipeline) {
    let pipeline = Pipeline::start(server, &name.replace('_', "-")).await;
    prepare(&pipeline).await;
    let status = pipeline.post(&recordings::webhook(name)).await;
    assert_eq!(status, 204, "{name}");
    inbox_is_drained(&pipeline.nats).await;
    (name, pipeline)
}

/// [`run`], which must record events of exactly these types. Returns the events.
async fn expect<F: AsyncFnOnce(&Pipeline)>(
    server: &NatsServer,
    name: &str,
    prepare: F,
    types: &[&str],
) -> Vec<Value> {
    let (name, pipeline) = run(server, name, prepare).await;
    let events = pipeline.events().await;
    let recorded: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(recorded, types, "{name}");
    pipeline.stop().await;
    events
}

async fn nothing_before(_: &Pipeline) {}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_changes_of_users_become_their_events() {
    let server = NatsServer::start().await;
    let registering = [
        ("user_created", 66),
        ("user_created_followup_update", 66),
        ("user_created_enrollment", 68),
        ("service_account_created_user", 67),
    ];
    for (name, pk) in registering {
        let prepare = async |pipeline: &Pipeline| pipeline.answer(&user_path(pk), state_on_arrival(name, pk));
        let events = expect(&server, name, prepare, &["user-registered"]).await;
        let body: Value = serde_json::from_str(&recordings::webhook(name).body).unwrap();
        let created: Timestamp = body["event"]["created"].as_str().unwrap().parse().unwrap();
        assert_eq!(events[0]["causationid"], body["event"]["id"]);
        assert_eq!(events[0]["correlationid"], body["event"]["context"]["http_request"]["request_id"]);
        assert_eq!(events[0]["time"], json!(created));
        assert_eq!(events[0]["subject"], format!("user/{pk}"));
    }
    let before = json!({"name": "Ada Byron", "is_active": true});
    for (name, before, then) in [
        ("user_updated_name", json!({"name": "Ada Lövelace 🚀"}), Some("user-updated")),
        ("user_updated_no_change", before.clone(), None),
        ("password_set_model_updated", before.clone(), None),
        ("user_deactivated", before.clone(), Some("user-deactivated")),
        ("user_reactivated", json!({"name": "Ada Byron", "is_active": false}), Some("user-reactivated")),
        ("user_group_set_m2m", before, Some("user-joined-group")),
    ] {
        let prepare = async |pipeline: &Pipeline| {
            pipeline.answer(&user_path(66), user(66, &before));
            pipeline.process_hint(InternalHint::about_user(66, "resync", None)).await;
            pipeline.answer(&user_path(66), state_on_arrival(name, 66));
        };
        let expected: Vec<_> = std::iter::once("user-registered").chain(then).collect();
        expect(&server, name, prepare, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_deletions_become_their_events() {
    let server = NatsServer::start().await;
    for (name, pk) in [("user_deleted", 66), ("user_deleted_unenrollment_flow", 62)] {
        let prepare = async |pipeline: &Pipeline| {
            // The administrator must exist, or the guard takes authentik for another installation.
            let administrator = user(3, &json!({}));
            let page = json!({"pagination": {"next": 0, "count": 1}, "results": [administrator]});
            pipeline.answer("/api/v3/core/users/", page);
            for (pk, user) in [(3, administrator), (pk, user(pk, &json!({})))] {
                pipeline.answer(&user_path(pk), user);
                pipeline.process_hint(InternalHint::about_user(pk, "resync", None)).await;
            }
            pipeline.answer_404(&user_path(pk));
        };
        let events =
            expect(&server, name, prepare, &["user-registered", "user-registered", "user-deleted"]).await;
        assert_eq!(events[2]["subject"], format!("user/{pk}"));
    }
    // A user who is deleted before the projector reads them.
    expect(&server, "user_created", nothing_before, &["user-registered", "user-deleted"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_facts_become_their_events() {
    let server = NatsServer::start().await;
    for (name, pk, fact) in [
        ("login", 8, Some("user-logged-in")),
        ("login_after_enrollment", 68, Some("user-logged-in")),
        ("login_failed_known_user", 8, Some("user-login-failed")),
        ("logout", 8, Some("user-logged-out")),
        ("password_set_by_admin", 66, Some("user-password-changed")),
        ("password_set_by_user", 8, Some("user-password-changed")),
        ("authorize_application", 8, Some("user-authorized-application")),
        ("impersonation_started", 3, Some("user-impersonation-started")),
        ("impersonation_ended", 3, Some("user-impersonation-ended")),
        ("user_write_enrollment", 68, None),
        ("user_write_password", 8, None),
        ("user_write_settings", 8, None),
    ] {
        let fields = json!({"username": "somebody", "name": "Somebody", "email": "somebody@lab.invalid"});
        let prepare = async |pipeline: &Pipeline| pipeline.answer(&user_path(pk), user(pk, &fields));
        let expected: Vec<_> = std::iter::once("user-registered").chain(fact).collect();
        let events = expect(&server, name, prepare, &expected).await;
        // Events name other users only by primary key.
        let text = serde_json::to_string(&events).unwrap();
        assert!(!text.contains("grace") && !text.contains("akadmin"), "{text}");
        let data = &events.last().unwrap()["data"];
        match name {
            "impersonation_started" => assert_eq!(data["target"], json!({"pk": 8})),
            "login" => assert_eq!(
                (&data["client_ip"], &data["auth_method"]),
                (&json!("127.0.0.1"), &json!("password"))
            ),
            "authorize_application" => {
                assert_eq!(data["application"]["name"], "Example");
                assert_eq!(data["scopes"], json!(["email", "offline_access", "openid", "profile"]));
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_changes_of_groups_become_their_events() {
    let server = NatsServer::start().await;
    let group_before = async |pipeline: &Pipeline, users: &[i64], user: Value| {
        pipeline.answer(&group_path(GROUP), group("engineers-1200", users));
        pipeline.answer(&user_path(66), user);
        let about_group = InternalHint {
            user: None,
            group: Some(GROUP.parse().unwrap()),
            ..InternalHint::about_user(0, "resync", None)
        };
        pipeline.process_hint(about_group).await;
        pipeline.process_hint(InternalHint::about_user(66, "resync", None)).await;
    };
    let prepare =
        async |pipeline: &Pipeline| pipeline.answer(&group_path(GROUP), group("engineers-1200", &[]));
    expect(&server, "group_created", prepare, &["group-created"]).await;

    let prepare = async |pipeline: &Pipeline| {
        group_before(pipeline, &[], user(66, &json!({}))).await;
        pipeline.answer(&group_path(GROUP), group("engineers-1200", &[66]));
        pipeline.answer(&user_path(66), member(66, &json!({})));
    };
    let events = expect(
        &server,
        "group_member_added",
        prepare,
        &["group-created", "user-registered", "user-joined-group"],
    )
    .await;
    let body: Value = serde_json::from_str(&recordings::webhook("group_member_added").body).unwrap();
    let delivery = body["event"]["id"].as_str().unwrap();
    assert_eq!(events[2]["causationid"], format!("{delivery}.66"));
    assert_eq!(events[2]["data"]["group"], json!({"uuid": GROUP, "name": "engineers-1200"}));

    let with_member = ["group-created", "user-registered"];
    for (name, then, group_then, user_then) in [
        (
            "group_member_removed",
            vec!["user-left-group"],
            Some(group("engineers-1200", &[])),
            user(66, &json!({})),
        ),
        (
            "group_renamed",
            vec!["group-updated"],
            Some(group("engineers2-1200", &[66])),
            member(66, &json!({})),
        ),
        ("group_deleted", vec!["group-deleted", "user-left-group"], None, user(66, &json!({}))),
    ] {
        let prepare = async |pipeline: &Pipeline| {
            group_before(pipeline, &[66], member(66, &json!({}))).await;
            match group_then {
                Some(group) => pipeline.answer(&group_path(GROUP), group),
                None => pipeline.answer_404(&group_path(GROUP)),
            }
            pipeline.answer(&user_path(66), user_then);
        };
        let expected: Vec<_> = with_member.into_iter().chain(then).collect();
        expect(&server, name, prepare, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_deliveries_without_a_hint_record_nothing() {
    let server = NatsServer::start().await;
    for name in ["login_failed_unknown_user", "transport_test_button", "no_mapping_default_body"] {
        expect(&server, name, nothing_before, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_redelivery_and_six_retries_are_recorded_once() {
    let server = NatsServer::start().await;
    let pipeline = Pipeline::start(&server, "repeated").await;
    pipeline.answer(&group_path("d74f9797-762e-46da-ab0d-c82a361a930f"), group("failme-crash-469", &[]));
    let redelivered: Vec<Webhook> =
        serde_json::from_value(recordings::json("webhooks/redelivery_after_worker_sigkill.json")).unwrap();
    let mut statuses = vec![];
    for webhook in &redelivered {
        statuses.push(pipeline.post(webhook).await);
    }
    assert_eq!(statuses, [204, 200]);

    // The recording contains the headers and only the hash of the body. This test uses another body and signs
    // it for each recorded attempt.
    let attempts = recordings::json("webhooks/retries_on_500.json")["attempts"].clone();
    let template = recordings::webhook("user_created").body;
    let mut statuses = vec![];
    for attempt in attempts.as_array().unwrap() {
        let headers: Vec<(String, String)> = serde_json::from_value(attempt["headers"].clone()).unwrap();
        let mut webhook = Webhook { note: String::new(), headers, body: String::new() };
        let id = webhook.header("webhook-id").unwrap().to_owned();
        webhook.body = template.replace("f9fc2ade-fae3-4865-a48c-7fb4d921559e", &id);
        let signature =
            recordings::sign(&recordings::webhook_secret(), &id, webhook.timestamp(), &webhook.body);
        for (name, value) in &mut webhook.headers {
            if name == "webhook-signature" {
                value.clone_from(&signature);
            }
        }
        statuses.push(pipeline.post(&webhook).await);
    }
    assert_eq!(statuses, [204, 200, 200, 200, 200, 200, 200]);
    inbox_is_drained(&pipeline.nats).await;
    let mut types = pipeline.types().await;
    types.sort();
    assert_eq!(types, ["group-created", "user-deleted", "user-registered"]);
    pipeline.stop().await;
}

#[test]
fn every_recorded_webhook_is_used_by_a_test() {
    let source = include_str!("recordings.rs");
    let missing: Vec<_> = recordings::names("webhooks")
        .into_iter()
        .filter(|name| name != "SECRET" && !source.contains(&format!("\"{name}\"")))
        .filter(|name| !source.contains(&format!("webhooks/{name}.json")))
        .collect();
    assert!(missing.is_empty(), "no test uses {missing:?}");
}
