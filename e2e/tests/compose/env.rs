//! Runs `scripts/init-env` and reads the files that it writes.

use std::path::Path;
use std::process::Command;

use crate::file::{Variables, root};

/// Runs `scripts/init-env` for this file with a POSIX shell. Returns its standard output.
pub fn init_env(file: &Path) -> String {
    // dash rejects syntax that is not in POSIX.
    let shell = if Path::new("/bin/dash").exists() { "dash" } else { "sh" };
    let output = Command::new(shell).arg(root().join("scripts/init-env")).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The variables in a file, as Compose reads it.
pub fn variables(file: &Path) -> Variables {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| line.trim_start_matches("export ").split_once('=').unwrap());
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// The variables that `scripts/init-env` generates from scratch.
pub fn made_anew() -> Variables {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".env");
    init_env(&file);
    variables(&file)
}
