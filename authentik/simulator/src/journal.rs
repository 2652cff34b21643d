//! The file in which state survives the end of the process, also by SIGKILL.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::store::{Row, Store};

const FILE: &str = "journal.jsonl";

/// An append-only file of JSON lines, one for each [`Row`].
///
/// Lines are written before a change is answered, but not synced to the disk: the state survives the
/// process, not a power cut.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Applies what was kept in `directory` to `store` and makes the file small again.
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

    /// Writes what changed.
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
            // The process was killed while it wrote this line, so nobody was told of the change.
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(error).context("reading a row"),
        }
    }
    Ok(())
}

/// The new file takes the place of the old one at once: a kill in between loses nothing.
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
    use super::*;
    use crate::seed;

    #[test]
    fn what_was_appended_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::default();
        let mut journal = Journal::open(directory.path(), &mut store).unwrap();
        journal.append(&seed::rows()).unwrap();
        let mut again = Store::default();
        Journal::open(directory.path(), &mut again).unwrap();
        assert_eq!(again.user_named("grace").unwrap().name, "Grace Hopper");
    }

    #[test]
    fn a_line_torn_by_a_kill_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::default();
        let mut journal = Journal::open(directory.path(), &mut store).unwrap();
        journal.append(&seed::rows()).unwrap();
        journal.file.write_all(br#"{"user_gone":"#).unwrap();
        let mut again = Store::default();
        Journal::open(directory.path(), &mut again).unwrap();
        assert!(again.users.len() > 5);
    }

    #[test]
    fn a_deleted_users_key_is_never_given_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::default();
        let mut journal = Journal::open(directory.path(), &mut store).unwrap();
        journal.append(&seed::rows()).unwrap();
        journal.append(&[Row::UserGone(4_711)]).unwrap();
        // Once replayed from the row, once from the counters of the compacted file.
        for _ in 0..2 {
            let mut again = Store::default();
            Journal::open(directory.path(), &mut again).unwrap();
            assert_eq!(crate::store::Tx::new(&mut again, None, None).next_pk(), 4_712);
        }
    }
}
