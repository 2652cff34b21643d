//! What `docs/consuming.md` tells other services, held to its example.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use e2e::System;
use e2e::checks::{of_state, of_view};
use e2e::process::Process;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::eventually;

/// The example, and the table that it keeps.
struct Service {
    process: Process,
    table: PathBuf,
    _directory: TempDir,
}

impl Service {
    fn start(system: &System) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let table = directory.path().join("users.json");
        let process = Process::start("user-table", directory.path(), system.nats.environment("consumer"));
        Self { process, table, _directory: directory }
    }

    fn table(&self) -> Option<Value> {
        // It is replaced at once, so what is there is whole.
        Some(serde_json::from_slice(&std::fs::read(&self.table).ok()?).unwrap())
    }

    /// Who is in the table, with what is compared of them.
    fn users(&self) -> Option<BTreeSet<String>> {
        let table = self.table()?;
        let rows = table["rows"].as_object()?.iter().filter(|(_, row)| row["user"].is_object());
        let users = rows.map(|(pk, row)| {
            let mut user = row["user"].clone();
            user["pk"] = pk.parse().ok()?;
            Some(of_view(&user))
        });
        users.collect()
    }

    async fn agrees_with(&self, system: &System) {
        let state = system.authentik.state().await;
        let expected: BTreeSet<_> = state["users"].as_array().unwrap().iter().map(of_state).collect();
        eventually("the table says what authentik says", || async {
            (self.users()? == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_users_is_right_however_often_its_service_is_killed() {
    let system = System::start().await;
    let mut service = Service::start(&system);
    let group = system.authentik.create_group("engineers").await;
    for n in 0..30 {
        let pk = system.authentik.create_user(&format!("user-{n}")).await;
        system.authentik.add_to_group(&group, pk).await;
        match n % 3 {
            0 => system.authentik.delete_user(pk).await,
            1 => system.authentik.update_user(pk, json!({"name": format!("Renamed {n}")})).await,
            _ => {}
        }
        if n % 4 == 0 {
            service.process.restart().await;
        }
    }
    service.agrees_with(&system).await;

    // What was acknowledged long ago comes again where the table was lost.
    service.process.kill().await;
    std::fs::remove_file(&service.table).unwrap();
    service.process.restart().await;
    service.agrees_with(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_erased_user_the_table_keeps_nothing_but_the_key() {
    let system = System::start().await;
    let service = Service::start(&system);
    let pk = system.authentik.create_user("mary").await;
    service.agrees_with(&system).await;
    system.authentik.delete_user(pk).await;
    service.agrees_with(&system).await;
    system.operate(&["forget", &pk.to_string()]).await;
    eventually("the receipt was taken in", || async {
        let table = service.table()?;
        let last = table["rows"][pk.to_string()]["sequence"].as_u64()?;
        let newest = table["rows"].as_object()?.values().all(|row| row["sequence"].as_u64() <= Some(last));
        (newest && !table.to_string().contains("mary")).then_some(())
    })
    .await;
}
