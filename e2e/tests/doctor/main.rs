//! `projector doctor` reports nothing on a healthy installation, and exactly one finding for each fault.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod patient;

use async_nats::jetstream::stream;
use e2e::settings::{ADMIN_TOKEN, READER_TOKEN};
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use runtime::CancellationToken;
use serde_json::json;
use testkit::NatsServer;

use crate::patient::{Options, Patient, doctor, projector};

const MONITORED: &str = "http: 127.0.0.1:-1";
const ALWAYS_SYNCED: &str = "http: 127.0.0.1:-1\njetstream { sync_interval: always }";

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_installation_has_no_findings() {
    let patient = Patient::on(ALWAYS_SYNCED).await;
    let (status, report) = patient.examine(Options::default()).await;
    assert_eq!((status, &report["findings"]), (0, &json!([])), "{report}");
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() > 20 && checks.iter().all(|check| check["state"] == "ok"), "{report}");

    // A token in a file works too, and so does a separate URL for the API's keys.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{ADMIN_TOKEN}\n")).unwrap();
    let jwks_url = format!("{}jwks/", patient.options["--authentik-issuer"]);
    let options = vec![
        ("--admin-token", String::new()),
        ("--admin-token-file", file.path().display().to_string()),
        ("--authentik-jwks-url", jwks_url),
        ("--webhook-url", String::new()),
    ];
    patient.finds_nothing(Options { doctor: options, ..Options::default() }).await;

    // The public URL of authentik cannot be resolved here, so the doctor uses the URL of the keys.
    let inside = &patient.options["--authentik-issuer"];
    let options = vec![
        ("--authentik-issuer", "https://auth.example.com/application/o/authentik-events/".to_owned()),
        ("--authentik-jwks-url", format!("{inside}jwks/")),
    ];
    patient.finds_nothing(Options { doctor: options, ..Options::default() }).await;

    // authentik before 2026.5 has no logout URIs.
    patient.system.authentik.faults(json!({"mistakes": ["no_logout_uris"]})).await;
    patient.finds_nothing(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_is_a_line_and_a_skipped_check_gives_the_reason() {
    let patient = Patient::on(ALWAYS_SYNCED).await;
    let options = ["--admin-token", "--authentik-issuer", "--nats-monitor"];
    let options = options.map(|option| (option, String::new())).to_vec();
    let (status, stdout, stderr) =
        patient.run(Options { doctor: options, ..Options::default() }, false).await;
    assert_eq!(status, 0, "{stdout}\n{stderr}");
    let state = |check: &str| {
        let line = stdout.lines().find(|line| line.split_whitespace().nth(1) == Some(check));
        line.unwrap_or_else(|| panic!("{check} is missing: {stdout}")).split_whitespace().next().unwrap()
    };
    for check in ["reader-token", "reader-rights", "reader-writes", "streams", "storage", "nats-clock"] {
        assert_eq!(state(check), "ok", "{stdout}");
    }
    for check in [
        "issuer",
        "signing-key",
        "client-id",
        "sync-interval",
        "sign-out",
        "transport",
        "matchers",
        "transport-test",
    ] {
        assert_eq!(state(check), "skipped", "{stdout}");
    }
    assert!(stdout.contains("sign out and in again: authentik must ask for the password"), "{stdout}");
    let (status, stdout, stderr) = patient.run(doctor("--authentik-client-id", "other"), false).await;
    assert_eq!(status, 1, "{stdout}");
    assert!(
        stdout.contains("fault    client-id") && stdout.contains("fix: set AUTHENTIK_CLIENT_ID"),
        "{stdout}"
    );
    assert!(stderr.contains("the installation has problems"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_authentik_is_one_named_finding() {
    let patient = Patient::on(ALWAYS_SYNCED).await;
    let fault = "fault";
    for (faults, severity, check, what) in [
        (json!({"not_viewable": ["event"]}), fault, "reader-rights", "may not view events"),
        (json!({"not_viewable": ["user", "group"]}), fault, "reader-rights", "may not view"),
        (json!({"clock_ahead": 120}), "warning", "authentik-clock", "ahead"),
        (json!({"clock_ahead": -400}), fault, "authentik-clock", "behind"),
        (json!({"no_signing_key": true}), fault, "signing-key", "HS256"),
        (json!({"oidc_status": 404}), fault, "issuer", "no OpenID provider"),
        (json!({"rest_status": 502}), fault, "reader-token", "status 502"),
        (json!({"mistakes": ["no_transport"]}), fault, "transport", "no notification transport"),
        (json!({"transport_url": "http://ingress:8080/"}), fault, "transport-url", "webhook URL"),
        (json!({"mistakes": ["not_send_once"]}), fault, "send-once", "send_once is off"),
        (json!({"mistakes": ["no_body_mapping"]}), fault, "body-mapping", "no webhook mapping"),
        (json!({"mistakes": ["other_body_mapping"]}), fault, "body-mapping", "not that of this version"),
        (json!({"mistakes": ["no_headers_mapping"]}), fault, "headers-mapping", "no webhook mapping"),
        (
            json!({"mistakes": ["other_headers_mapping"]}),
            fault,
            "headers-mapping",
            "not that of this version",
        ),
        (json!({"mistakes": ["no_rule"]}), fault, "rule", "no notification rule"),
        (json!({"mistakes": ["rule_without_transport"]}), fault, "rule", "does not use the transport"),
        (json!({"mistakes": ["rule_without_group"]}), fault, "rule-group", "no destination group"),
        (json!({"mistakes": ["login_not_bound"]}), fault, "matchers", "sends no login"),
        (json!({"mistakes": ["logout_switched_off"]}), fault, "matchers", "sends no logout"),
        (json!({"mistakes": ["sign_out_ends_nothing"]}), fault, "sign-out", "ends nothing"),
        (json!({"mistakes": ["other_secret"]}), fault, "transport-test", "secrets are not the same"),
        (json!({"mistakes": ["no_secret"]}), fault, "transport-test", "EVENTS_WEBHOOK_SECRET"),
    ] {
        patient.finds_in_authentik(faults, severity, check, what).await;
    }

    let authentik = &patient.system.authentik;
    let state = authentik.state().await;
    let groups = state["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["name"] == "authentik-events").unwrap();
    let (group, reader) = (group["pk"].as_str().unwrap(), group["users"][0].as_i64().unwrap());
    authentik.add_to_group(group, 8).await;
    patient.finds(Options::default(), "warning", "rule-group", "2 members").await;
    authentik.remove_from_group(group, 8).await;
    authentik.remove_from_group(group, reader).await;
    patient.finds(Options::default(), "fault", "rule-group", "no member").await;
    authentik.add_to_group(group, reader).await;
    patient.finds_nothing(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_setting_is_one_named_finding() {
    let patient = Patient::on(ALWAYS_SYNCED).await;
    let issuer = &patient.options["--authentik-issuer"];
    let elsewhere = format!("{}other/", issuer.trim_end_matches("authentik-events/"));
    let password = testkit::nats::password("projector");
    let account = format!("accounts {{ OTHER {{ users: [{{ user: projector, password: {password} }}] }} }}");
    let without_jetstream = NatsServer::start_with(&account).await;
    for (options, severity, check, what) in [
        (projector("--nats-url", &without_jetstream.url()), "fault", "streams", "JetStream not enabled"),
        (projector("--authentik-url", "http://127.0.0.1:1"), "fault", "reader-token", "does not answer"),
        (
            projector("--authentik-url", &format!("{}/x", patient.system.authentik.url())),
            "fault",
            "reader-token",
            "is not authentik's API",
        ),
        (projector("--authentik-token", "nonsense"), "fault", "reader-token", "Token invalid/expired"),
        (projector("--authentik-token", ADMIN_TOKEN), "warning", "reader-writes", "administrator"),
        (projector("--nats-url", "nats://127.0.0.1:1"), "fault", "nats", "no NATS server answers"),
        (projector("--nats-namespace", "other"), "fault", "streams", "is missing"),
        (
            doctor("--authentik-issuer", issuer.trim_end_matches('/')),
            "fault",
            "issuer",
            "but tokens will say",
        ),
        (doctor("--authentik-issuer", &elsewhere), "fault", "issuer", "no OpenID provider"),
        (doctor("--authentik-jwks-url", issuer), "fault", "signing-key", "cannot be read"),
        (doctor("--authentik-client-id", "other"), "fault", "client-id", "no public client"),
        (doctor("--admin-token", "nonsense"), "fault", "admin-token", "Token invalid/expired"),
        (doctor("--admin-token", READER_TOKEN), "fault", "admin-token", "not an administrator's"),
        (
            doctor("--webhook-url", "http://ingress:8080/authentik/webhook"),
            "fault",
            "transport-url",
            "webhook URL",
        ),
    ] {
        patient.finds(options, severity, check, what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_in_nats_is_one_named_finding() {
    let patient = Patient::on(MONITORED).await;
    patient.finds(Options::default(), "fault", "sync-interval", "every 120 s").await;
    let unmonitored = |mut options: Options| {
        options.doctor.push(("--nats-monitor", String::new()));
        options
    };
    let replicas = unmonitored(projector("--nats-replicas", "3"));
    patient.finds(replicas, "fault", "streams", "num_replicas is 1, expected 3").await;
    let shorter = |config: &mut stream::Config, _| config.max_age /= 2;
    patient.finds_in_inbox(shorter, "fault", "streams", "max_age").await;
    // Each run of the doctor adds one message, authentik's test, for which there must be room.
    patient.fill_inbox(30).await;
    let tight = |config: &mut stream::Config, messages| config.max_messages = messages * 5 / 4;
    patient.finds_in_inbox(tight, "warning", "storage", "% full").await;
    let tighter = |config: &mut stream::Config, messages| config.max_messages = messages + 1;
    patient.finds_in_inbox(tighter, "fault", "storage", "% full").await;

    let nats = patient.system.nats.connect().await;
    nats.jetstream.delete_stream(nats.namespace.dead_letters_stream()).await.unwrap();
    patient.finds(unmonitored(Options::default()), "fault", "streams", "DEAD_LETTERS is missing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transport_test_reports_where_it_failed() {
    let mut patient = Patient::on(ALWAYS_SYNCED).await;
    // Accept any webhook URL with the path of an ingress.
    patient.options.insert("--webhook-url", String::new());
    let unreachable = json!({"transport_url": "http://127.0.0.1:1/authentik/webhook"});
    patient
        .finds_in_authentik(unreachable, "fault", "transport-test", "cannot reach the ingress: no connection")
        .await;

    // Another server accepts the webhook and stores nothing.
    let bound = runtime::http::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = json!({"transport_url": format!("http://{}/authentik/webhook", bound.address())});
    tokio::spawn(bound.serve(make_sync(|_| StatusCode::NO_CONTENT), CancellationToken::new()));
    patient.finds_in_authentik(elsewhere, "fault", "transport-test", "not in the inbox").await;

    patient.system.kill_ingresses().await;
    patient.finds(Options::default(), "fault", "transport-test", "status 502").await;
    patient.system.restart_ingresses().await;
    patient.system.ready().await;
    patient.finds_nothing(Options::default()).await;
}
