//! An installation that a doctor looks at.

use std::collections::BTreeMap;

use async_nats::jetstream::stream;
use e2e::nats::Nats;
use e2e::settings::{ADMIN_TOKEN, READER_TOKEN, WEBHOOK_SECRET};
use e2e::system::{Setup, System};
use serde_json::{Value, json};

/// An installation, and what its doctor is told.
pub struct Patient {
    pub system: System,
    pub options: BTreeMap<&'static str, String>,
}

/// What a case sets beside that: settings of the projector, and of the doctor.
#[derive(Default)]
pub struct Told {
    pub projector: Vec<(&'static str, String)>,
    pub doctor: Vec<(&'static str, String)>,
}

pub fn projector(option: &'static str, value: &str) -> Told {
    Told { projector: vec![(option, value.to_owned())], ..Told::default() }
}

pub fn doctor(option: &'static str, value: &str) -> Told {
    Told { doctor: vec![(option, value.to_owned())], ..Told::default() }
}

impl Patient {
    pub async fn on(settings: &'static str) -> Self {
        let nats = Nats::server_with(&format!("include users.conf\n{settings}")).await;
        // A comparison with authentik would ask it while it is made to refuse.
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
            (self.system.projector_says().await == "ready\n").then_some(())
        })
        .await;
    }

    /// Exit status, what was printed, and what was said beside it.
    pub async fn run(&self, told: Told, json: bool) -> (i32, String, String) {
        let mut options = self.options.clone();
        options.extend(told.doctor);
        options.retain(|_, value| !value.is_empty());
        let mut arguments: Vec<String> = vec![];
        for (option, value) in told.projector {
            arguments.extend([option.to_owned(), value]);
        }
        arguments.push("doctor".to_owned());
        for (option, value) in options {
            arguments.extend([option.to_owned(), value]);
        }
        if json {
            arguments.push("--json".to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.system.command(&arguments).await
    }

    pub async fn examined(&self, told: Told) -> (i32, Value) {
        let (status, printed, said) = self.run(told, true).await;
        let secret = WEBHOOK_SECRET.trim_start_matches("whsec_");
        for hush in [ADMIN_TOKEN, READER_TOKEN, secret] {
            assert!(!printed.contains(hush) && !said.contains(hush), "{printed}\n{said}");
        }
        let report = serde_json::from_str(&printed);
        (status, report.unwrap_or_else(|error| panic!("{error}: {printed}\n{said}")))
    }

    /// Finds this, by this check, and nothing by any other.
    pub async fn finds(&self, told: Told, severity: &str, check: &str, what: &str) {
        let (status, report) = self.examined(told).await;
        let findings = report["findings"].as_array().unwrap();
        assert!(status == 1 && !findings.is_empty(), "{check}: nothing was found: {report}");
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

    pub async fn is_well(&self, told: Told) {
        let (status, report) = self.examined(told).await;
        assert_eq!((status, &report["findings"]), (0, &json!([])), "{report}");
    }

    /// As [`Patient::finds`], while these faults are in authentik.
    pub async fn finds_in_authentik(&self, faults: Value, severity: &str, check: &str, what: &str) {
        self.system.authentik.faults(faults).await;
        self.finds(Told::default(), severity, check, what).await;
        let none = json!({
            "mistakes": [], "not_viewable": [], "clock_ahead": 0, "no_signing_key": false, "transport_url": null,
            "oidc_status": null, "rest_status": null,
        });
        self.system.authentik.faults(none).await;
    }

    /// As [`Patient::finds`], while the inbox has another configuration, which `change` makes of its own and of the
    /// number of messages.
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

    /// Puts so many deliveries that mean nothing into the inbox.
    pub async fn fill_inbox(&self, n: usize) {
        let nats = self.system.nats.connect().await;
        for id in 0..n {
            let subject = format!("{}.inbox.filled-{id}", nats.namespace);
            nats.jetstream.publish(subject, "{}".into()).await.unwrap().await.unwrap();
        }
    }
}
