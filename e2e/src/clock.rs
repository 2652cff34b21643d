//! Wrong clocks, by a library that is preloaded into a process.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles the library into `directory`, with the C compiler that Rust links with.
fn library(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("wrong_clock.c");
    let library = directory.join("wrong_clock.so");
    if !library.exists() {
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        assert!(compiled.expect("running cc").success(), "cc cannot compile wrong_clock.c");
    }
    library
}

/// Environment variables that set a process's clock ahead by this many seconds.
pub(crate) fn ahead_by(seconds: i64, directory: &Path) -> Vec<(&'static str, String)> {
    if seconds == 0 {
        return vec![];
    }
    let library = library(directory).display().to_string();
    vec![("LD_PRELOAD", library), ("CLOCK_OFFSET", seconds.to_string())]
}
