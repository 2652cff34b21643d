//! An installation with faults that `projector doctor` must find.

use std::collections::BTreeMap;

use async_nats::jetstream::stream;
use e2e::nats::Nats;
use e2e::settings::{ADMIN_TOKEN, READER_TOKEN, WEBHOOK_SECRET};
use e2e::system::{Setup, System};
use serde_json::{Value, json};

/// An installation, and the default options of its doctor.
pub struct Patient {
    pub system: System,
    pub options: BTreeMap<&'static str, String>,
}

/// Additional options of projector and doctor in one case. An empty value removes a default option.
#[derive(Default)]
pub struct Options {
    pub projector: Vec<(&'static str, String)>,
    pub doctor: Vec<(&'static str, String)>,
}

pub fn projector(option: &'static str, value: &str) -> Options {
    Options { projector: vec![(option, value.to_owned())], ..Options::default() }
}

pub fn doctor(option: &'static str, value: &str) -> Options {
    Options { doctor: vec![(option, value.to_owned())], ..Options::default() }
}

impl Patient {
    pub async fn on(settings: &'static str) -> Self {
        let nats = Nats::server_with(&format!("include users.conf\n{settings}")).await;
        // Without sweeps, which would send requests to authentik during its faults.
        let system = System::start_on(nats, Setup { sweep_interval: 0, ..Setup::default() }).await;
        let issuer = format!("{}/application/o/authentik-events/", system.authentik.url());
        let options = BTreeMap::from([
            ("--authentik-issuer", issuer),
            ("--authentik-client-id", "authentik-events".to_owned()),
            ("--webhook-url", system.webhooks.url.clone()),
            ("--admin-token", ADMIN_TOKEN.to_owned()),
            ("--nats-monitor", system.nats.as_server().monitoring_url()),
        ]);
        let patient = Self { system, options };
        patient.ready().await;
        patient
    }

    pub async fn ready(&self) {
        testkit::eventually("the projector is ready", || async {
            (self.system.projector_readiness().await == "ready\n").then_some(())
        })
        .await;
    }

    /// Runs the doctor. Returns exit status, standard output and standard error.
    pub async fn run(&self, options: Options, json: bool) -> (i32, String, String) {
        let mut doctor_options = self.options.clone();
        doctor_options.extend(options.doctor);
        doctor_options.retain(|_, value| !value.is_empty());
        let mut arguments: Vec<String> = vec![];
        for (option, value) in options.projector {
            arguments.extend([option.to_owned(), value]);
        }
        arguments.push("doctor".to_owned());
        for (option, value) in doctor_options {
            arguments.extend([option.to_owned(), value]);
        }
        if json {
            arguments.push("--json".to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.system.command(&arguments).await
    }

    /// Runs the doctor and checks that it prints no secret. Returns exit status and report.
    pub async fn examine(&self, options: Options) -> (i32, Value) {
        let (status, stdout, stderr) = self.run(options, true).await;
        let secret = WEBHOOK_SECRET.trim_start_matches("whsec_");
        for secret in [ADMIN_TOKEN, READER_TOKEN, secret] {
            assert!(!stdout.contains(secret) && !stderr.contains(secret), "{stdout}\n{stderr}");
        }
        let report = serde_json::from_str(&stdout);
        (status, report.unwrap_or_else(|error| panic!("{error}: {stdout}\n{stderr}")))
    }

    /// The doctor reports this finding of this check, and no finding of any other check.
    pub async fn finds(&self, options: Options, severity: &str, check: &str, what: &str) {
        let (status, report) = self.examine(options).await;
        let findings = report["findings"].as_array().unwrap();
        assert!(status == 1 && !findings.is_empty(), "{check}: no finding: {report}");
        for finding in findings {
            assert_eq!(
                (&finding["check"], &finding["severity"]),
                (&json!(check), &json!(severity)),
                "{findings:?}"
            );
            assert!(finding["what"].as_str().unwrap().contains(what), "{finding}");
            assert!(finding["fix"].as_str().unwrap().len() > 10, "{finding}");
        }
    }

    /// The doctor reports no finding.
    pub async fn finds_nothing(&self, options: Options) {
        let (status, report) = self.examine(options).await;
        assert_eq!((status, &report["findings"]), (0, &json!([])), "{report}");
    }

    /// Like [`Patient::finds`], with these faults in authentik.
    pub async fn finds_in_authentik(&self, faults: Value, severity: &str, check: &str, what: &str) {
        self.system.authentik.faults(faults).await;
        self.finds(Options::default(), severity, check, what).await;
        let none = json!({
            "mistakes": [], "not_viewable": [], "clock_ahead": 0, "no_signing_key": false, "transport_url": null,
            "oidc_status": null, "rest_status": null,
        });
        self.system.authentik.faults(none).await;
    }

    /// Like [`Patient::finds`], with a changed configuration of the inbox. `change` gets the current
    /// configuration and the number of messages.
    pub async fn finds_in_inbox(
        &self,
        change: fn(&mut stream::Config, i64),
        severity: &str,
        check: &str,
        what: &str,
    ) {
        let nats = self.system.nats.connect().await;
        let inbox = nats.jetstream.get_stream(nats.namespace.inbox_stream()).await.unwrap();
        let right = inbox.cached_info().config.clone();
        let mut wrong = right.clone();
        change(&mut wrong, inbox.cached_info().state.messages.try_into().unwrap());
        nats.jetstream.update_stream(&wrong).await.unwrap();
        self.finds(doctor("--nats-monitor", ""), severity, check, what).await;
        nats.jetstream.update_stream(&right).await.unwrap();
    }

    /// Puts `n` meaningless deliveries into the inbox.
    pub async fn fill_inbox(&self, n: usize) {
        let nats = self.system.nats.connect().await;
        for id in 0..n {
            let subject = format!("{}.inbox.filled-{id}", nats.namespace);
            nats.jetstream.publish(subject, "{}".into()).await.unwrap().await.unwrap();
        }
    }
}
