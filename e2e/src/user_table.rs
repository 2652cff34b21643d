//! `examples/user-table`, and the table that it keeps.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use testkit::eventually;

use crate::System;
use crate::checks::{of_state, of_view};
use crate::process::Process;

/// The example as a process.
pub struct UserTable {
    /// To kill and start it.
    pub process: Process,
    /// The file with the table.
    pub file: PathBuf,
    _directory: TempDir,
}

impl UserTable {
    /// Starts it on this installation.
    pub fn start(system: &System) -> Self {
        let directory = tempfile::tempdir().expect("making a directory");
        let process = Process::start("user-table", directory.path(), system.nats.environment("consumer"));
        Self { process, file: directory.path().join("users.json"), _directory: directory }
    }

    /// The table; nothing before the first one is written.
    pub fn content(&self) -> Option<Value> {
        // It is replaced at once, so what is there is whole.
        Some(serde_json::from_slice(&std::fs::read(&self.file).ok()?).expect("a table is JSON"))
    }

    /// Who is in the table, with what is compared of them.
    fn users(&self) -> Option<BTreeSet<String>> {
        let table = self.content()?;
        let rows = table["rows"].as_object()?.iter().filter(|(_, row)| row["user"].is_object());
        let users = rows.map(|(pk, row)| {
            let mut user = row["user"].clone();
            user["pk"] = pk.parse().ok()?;
            Some(of_view(&user))
        });
        users.collect()
    }

    /// Waits until it says of everybody what authentik says.
    pub async fn agrees_with(&self, system: &System) {
        let state = system.authentik.state().await;
        let users = state["users"].as_array().into_iter().flatten();
        let expected: BTreeSet<_> = users.map(of_state).collect();
        eventually("the table says what authentik says", || async {
            (self.users()? == expected).then_some(())
        })
        .await;
    }
}
