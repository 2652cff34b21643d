//! Programs of the workspace as child processes.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

/// A command that runs `binary` in `directory`, which keeps a developer's `.env` out of the test.
///
/// The process inherits no environment variables, has no standard input, and is killed on drop. Its output is piped.
pub fn command(binary: &str, directory: &Path) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(directory).env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until a process exits. Returns its exit status, standard output and standard error.
pub async fn finish(process: Child) -> (i32, String, String) {
    let output = process.wait_with_output().await.expect("waiting for the process");
    let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
    let status = output.status.code().expect("the process is not killed by a signal");
    (status, text(output.stdout), text(output.stderr))
}
