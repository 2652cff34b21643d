//! The metrics of `docs/operations.md` are those that the processes tell, and the alerts of `deploy/prometheus/` are about
//! them, hold water, and have an entry each that says what to do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::System;
use e2e::dead_letters::set_aside;
use e2e::system::Setup;
use serde_json::json;
use testkit::eventually;

const OPERATIONS: &str = include_str!("../../docs/operations.md");
const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yml");

/// Metrics by name, each with its type.
type Metrics = BTreeMap<String, String>;

/// The table's rows whose process is this one.
fn documented(process: &str) -> Metrics {
    let table = OPERATIONS.split("## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let own = rows.filter(|cells| cells[1] == process || cells[1] == "all");
    own.map(|cells| {
        let name = cells[0].trim_matches('`').split('{').next().unwrap();
        (name.to_owned(), cells[2].to_owned())
    })
    .collect()
}

async fn exported(url: &str) -> Metrics {
    let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// What a metric of a projector says now; of several series the largest.
async fn value(system: &System, metric: &str) -> Option<f64> {
    let url = format!("{}/metrics", system.projector_urls[0]);
    let text = reqwest::get(url).await.ok()?.text().await.ok()?;
    // Names can begin alike.
    let own = text
        .lines()
        .filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with([' ', '{'])));
    own.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).reduce(f64::max)
}

async fn reaches(system: &System, metric: &str, holds: impl Fn(f64) -> bool) {
    eventually(&format!("{metric} tells of it"), || async {
        value(system, metric).await.filter(|value| holds(*value)).map(drop)
    })
    .await;
}

/// What is counted is whole.
fn is(expected: u32) -> impl Fn(f64) -> bool {
    move |value| (value - f64::from(expected)).abs() < 0.5
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_metrics_is_what_the_processes_tell() {
    let system = System::start().await;
    let pk = system.authentik.create_user("mary").await;
    system
        .feed()
        .await
        .read_until("they are registered", |received| {
            received.iter().any(|received| received.data["subject"] == format!("user/{pk}").as_str())
        })
        .await;
    for (process, url) in [
        ("ingress", &system.ingress_urls[0]),
        ("projector", &system.projector_urls[0]),
        ("api", &system.api_url),
    ] {
        let documented = documented(process);
        eventually(&format!("the metrics of {process} are {documented:?}"), || async {
            let exported = exported(url).await;
            let undocumented: Vec<_> =
                exported.keys().filter(|name| !documented.contains_key(*name)).collect();
            assert_eq!(undocumented, Vec::<&String>::new(), "{process}");
            (exported == documented).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_alerts_look_at_is_what_happens() {
    let mut system = System::start_with(Setup { sweep_interval: 0, ..Setup::default() }).await;
    reaches(&system, "projector_dead_letters", is(0)).await;
    set_aside(&system, "a").await;
    reaches(&system, "projector_dead_letters", is(1)).await;

    let pk = system.authentik.create_user("mary").await;
    system.authentik.faults(json!({"rest_status": 503})).await;
    system.authentik.emit("model_updated", pk, json!({"model": {"name": "mary"}})).await;
    reaches(&system, "projector_authentik_circuit_open", is(1)).await;
    reaches(&system, "ready{condition=\"authentik\"}", is(0)).await;
    reaches(&system, "projector_inbox_oldest_seconds", |age| age >= 3.0).await;
    system.authentik.faults(json!({"rest_status": null})).await;
    reaches(&system, "projector_authentik_circuit_open", is(0)).await;
    reaches(&system, "projector_inbox_oldest_seconds", is(0)).await;

    // Nobody folds while this process is away, and what it measured is as old as that.
    let before = value(&system, "projector_measured_timestamp_seconds").await.unwrap();
    system.kill_projectors().await;
    system.restart_projectors().await;
    reaches(&system, "projector_measured_timestamp_seconds", |time| time > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brake_is_seen_in_the_metrics() {
    let system = System::start().await;
    system.authentik.change_without_event(json!({"op": "create_users", "count": 40})).await;
    e2e::checks::converged(&system, testkit::wait::DEADLINE).await;
    reaches(&system, "projector_last_sweep_timestamp_seconds", |time| time > 1.7e9).await;
    // A token with fewer rights: everybody but the administrator seems to be gone.
    system.authentik.faults(json!({"visible_users": [3]})).await;
    reaches(&system, "ready{condition=\"deletions\"}", is(0)).await;
    system.authentik.faults(json!({"visible_users": null})).await;
    reaches(&system, "ready{condition=\"deletions\"}", is(1)).await;
}

/// Each alert with its expression.
fn alerts() -> Vec<(String, String)> {
    let blocks = ALERTS.split("- alert: ").skip(1);
    // An expression may have several lines: it ends where the labels begin, or how long it must hold.
    let expression = |block: &str| {
        let text = block.split("expr: ").nth(1).unwrap();
        text.split("labels: ").next().unwrap().split("for: ").next().unwrap().to_owned()
    };
    blocks.map(|block| (block.lines().next().unwrap().to_owned(), expression(block))).collect()
}

#[test]
fn every_alert_is_about_metrics_that_are_told_and_has_an_entry_that_says_what_to_do() {
    let told: BTreeSet<String> =
        ["ingress", "projector", "api"].iter().flat_map(|process| documented(process).into_keys()).collect();
    let entries: BTreeSet<&str> = OPERATIONS.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts = alerts();
    assert!(alerts.len() >= 6, "{alerts:?}");
    for (name, expression) in alerts {
        assert!(entries.contains(name.as_str()), "{name} has no entry in docs/operations.md");
        let url = format!("runbook_url: docs/operations.md#{}", name.to_lowercase());
        assert!(ALERTS.contains(&url), "{name} lacks {url}");
        let words = expression.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
        let metrics: Vec<_> = words
            .filter(|word| ["ingress_", "projector_", "api_"].iter().any(|prefix| word.starts_with(prefix)))
            .collect();
        for metric in &metrics {
            assert!(told.contains(*metric), "{name}: nobody tells {metric}");
        }
        let is_common = expression.contains("ready") || expression.contains("up{");
        assert!(!metrics.is_empty() || is_common, "{name}: {expression}");
    }
}

/// `PROMTOOL`, else what `make` put into `.tools`, else the one on the PATH.
fn promtool(arguments: &[&str]) {
    let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/prometheus/usr/bin/promtool");
    let otherwise = if packaged.exists() { packaged } else { "promtool".into() };
    let tool = std::env::var_os("PROMTOOL").map_or(otherwise, PathBuf::from);
    let output = Command::new(&tool).current_dir("../deploy/prometheus").args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{}: {error}: run scripts/get-promtool", tool.display()));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn prometheus_takes_the_alerts_and_the_configuration() {
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["check", "config", "prometheus.yml"]);
}

#[test]
fn each_alert_fires_for_what_it_is_about_and_none_while_all_is_well() {
    promtool(&["test", "rules", "alerts.test.yml"]);
    let tests = include_str!("../../deploy/prometheus/alerts.test.yml");
    for (name, _) in alerts() {
        assert!(tests.contains(&name), "no test has {name} fire");
    }
}
