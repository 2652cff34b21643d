//! The file that keeps the state across restarts, including after SIGKILL.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::store::{Row, Store};

const FILE: &str = "journal.jsonl";

/// An append-only file with one JSON line for each [`Row`].
///
/// Lines are written before the response to the change, but not synced to disk. The state therefore survives
/// the end of the process, but not a power failure.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Replays the journal in `directory` into `store`, then compacts the file.
    pub fn open(directory: &Path, store: &mut Store) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("creating the state directory {}", directory.display()))?;
        let path = directory.join(FILE);
        if path.exists() {
            replay(&path, store).with_context(|| format!("replaying {}", path.display()))?;
        }
        let file = compact(&path, store).with_context(|| format!("compacting {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// Appends the rows of one change.
    pub fn append(&mut self, rows: &[Row]) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, row).context("serialising a row")?;
            lines.push(b'\n');
        }
        self.file.write_all(&lines).with_context(|| format!("appending to {}", self.path.display()))
    }
}

fn replay(path: &Path, store: &mut Store) -> anyhow::Result<()> {
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(row) => store.apply(row),
            // The process was killed while it wrote this line, so no client has a response to the change.
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(error).context("reading a row"),
        }
    }
    Ok(())
}

/// Writes a new file and renames it over the old one, so that a kill at any point loses nothing.
fn compact(path: &Path, store: &Store) -> anyhow::Result<File> {
    let fresh = path.with_extension("new");
    let mut writer = BufWriter::new(File::create(&fresh)?);
    for row in store.rows() {
        serde_json::to_writer(&mut writer, &row)?;
        writer.write_all(b"\n")?;
    }
    writer.flush()?;
    std::fs::rename(&fresh, path)?;
    Ok(OpenOptions::new().append(true).open(path)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::seed;
    use crate::store::delivery::Status;

    fn reopened(directory: &Path) -> (Store, Journal) {
        let mut store = Store::default();
        let journal = Journal::open(directory, &mut store).unwrap();
        (store, journal)
    }

    #[test]
    fn appended_rows_are_replayed_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        reopened(directory.path()).1.append(&seed::rows()).unwrap();
        let (store, _) = reopened(directory.path());
        assert_eq!(store.user_named("grace").unwrap().name, "Grace Hopper");
    }

    #[test]
    fn an_incomplete_last_line_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut journal) = reopened(directory.path());
        journal.append(&seed::rows()).unwrap();
        journal.file.write_all(br#"{"user_gone":"#).unwrap();
        assert!(reopened(directory.path()).0.users.len() > 5);
    }

    #[test]
    fn a_journal_of_an_older_version_is_replayed() {
        let directory = tempfile::tempdir().unwrap();
        let counters = json!({"counters": {"last_pk": 10, "delivered": 2, "dropped": 1}});
        let (id, due) = ("6f4d3f8e-1f0c-4a53-9d57-0a3e3d1b2c4d", "2026-11-22T08:49:37Z");
        let delivery = json!({"delivery": {"id": id, "attempts": 6, "status": "rejected", "due": due}});
        let lines = format!("\"reset\"\n{counters}\n{delivery}\n");
        std::fs::write(directory.path().join(FILE), lines).unwrap();
        for _ in 0..2 {
            let (store, _) = reopened(directory.path());
            let count = |status| store.deliveries.count(status);
            assert_eq!(
                (count(Status::Delivered), count(Status::Rejected), count(Status::Dropped)),
                (2, 1, 1)
            );
        }
    }

    #[test]
    fn the_key_of_a_deleted_user_is_never_reused() {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut journal) = reopened(directory.path());
        journal.append(&seed::rows()).unwrap();
        journal.append(&[Row::UserGone(4_711)]).unwrap();
        // The first replay reads the row, the second one the counters of the compacted file.
        for _ in 0..2 {
            let (mut store, _) = reopened(directory.path());
            assert_eq!(crate::store::Tx::new(&mut store, None, None).next_pk(), 4_712);
        }
    }
}
