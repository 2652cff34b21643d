//! Each benchmark works in its smallest form. These tests do not check how fast.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Checks which cases were compared, and that both ways completed the expected number of items.
fn check(benchmark: &str, expected: &[(&str, u64)]) {
    let rows: Vec<Value> = serde_json::from_str(&bench(&[benchmark, "--smallest", "--json"])).unwrap();
    for row in &rows {
        assert_eq!(row["benchmark"], benchmark);
        let rounds = row["rounds"].as_array().unwrap();
        assert_eq!(rounds.len(), 1, "{row}");
        assert_eq!(rounds[0]["as_it_is"]["n_items"], rounds[0]["naive"]["n_items"], "{row}");
    }
    let done: Vec<_> = rows
        .iter()
        .map(|row| (row["case"].as_str().unwrap(), row["rounds"][0]["naive"]["n_items"].as_u64().unwrap()))
        .collect();
    assert_eq!(done, expected);
}

#[test]
fn both_ways_store_all_webhooks() {
    check(
        "ingress",
        &[
            ("sync always, 2 webhooks at once", 4),
            ("sync always, 64 webhooks at once", 128),
            ("sync always, 256 webhooks at once", 512),
            ("default sync, 2 webhooks at once", 4),
            ("default sync, 64 webhooks at once", 128),
            ("default sync, 256 webhooks at once", 512),
            ("default sync, 1000 webhooks per second, 99th percentile", 100),
            ("default sync, 1000 webhooks per second, CPU", 100),
        ],
    );
}

#[test]
fn both_ways_send_every_event_to_every_subscriber() {
    let cases = [("2 events one by one, subscribers: 3", 6), ("20 events together, subscribers: 3", 60)];
    check("feed", &cases);
}

#[test]
fn both_ways_answer_all_requests() {
    check("tokens", &[("5 requests, with one token or one each", 5)]);
}

#[test]
fn both_ways_write_all_views_and_read_all_events() {
    let cases = [
        ("10 views in one commit, or 1 puts at once", 10),
        ("10 views in one commit, or 64 puts at once", 10),
        ("rebuild users of 40 events, or only read", 40),
        ("rebuild activity of 40 events, or only read", 40),
        ("verify users of 40 events, or only read", 40),
    ];
    check("projections", &cases);
}

#[test]
fn both_ways_record_all_users() {
    check("record", &[("4 users, 32 or 1 at once", 4)]);
}

#[test]
fn both_ways_open_all_streams() {
    check("memory", &[("100 idle streams", 100)]);
}

#[test]
fn the_help_lists_the_benchmarks_and_nothing_else() {
    let help = bench(&["--help"]);
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names: Vec<_> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["ingress", "feed", "tokens", "projections", "record", "memory", "all", "help"]);
}
