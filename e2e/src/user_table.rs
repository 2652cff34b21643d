//! `examples/user-table` as a process, and the table that it writes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use testkit::eventually;

use crate::System;
use crate::checks::{describe_state, describe_view};
use crate::process::Process;

/// The running example.
pub struct UserTable {
    /// The process, to kill and restart it.
    pub process: Process,
    /// File that the table is written to.
    pub file: PathBuf,
    _directory: TempDir,
}

impl UserTable {
    /// Starts the example on this installation.
    pub fn start(system: &System) -> Self {
        let directory = tempfile::tempdir().expect("creating a directory");
        let process = Process::start("user-table", directory.path(), system.nats.environment("consumer"));
        Self { process, file: directory.path().join("users.json"), _directory: directory }
    }

    /// The table; `None` before it is first written.
    pub fn content(&self) -> Option<Value> {
        // The example replaces the file atomically, so a read never sees half a table.
        Some(serde_json::from_slice(&std::fs::read(&self.file).ok()?).expect("a table is JSON"))
    }

    /// The users in the table, with their compared fields.
    fn users(&self) -> Option<BTreeSet<String>> {
        let table = self.content()?;
        let rows = table["rows"].as_object()?.iter().filter(|(_, row)| row["user"].is_object());
        let users = rows.map(|(pk, row)| {
            let mut user = row["user"].clone();
            user["pk"] = pk.parse().ok()?;
            Some(describe_view(&user))
        });
        users.collect()
    }

    /// Waits until all users in the table agree with authentik.
    pub async fn agrees_with(&self, system: &System) {
        let state = system.authentik.state().await;
        let users = state["users"].as_array().into_iter().flatten();
        let expected: BTreeSet<_> = users.map(describe_state).collect();
        eventually("the table agrees with authentik", || async { (self.users()? == expected).then_some(()) })
            .await;
    }
}
