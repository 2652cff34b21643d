//! A binary of this workspace as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use testkit::wait::DEADLINE;
use tokio::process::{Child, Command};

/// How long a graceful shutdown may take. Container runtimes kill a process soon after.
pub const GRACEFUL_SHUTDOWN: Duration = Duration::from_secs(10);

/// A process that can be killed and started again with the same settings.
pub struct Process {
    name: &'static str,
    environment: Vec<(&'static str, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Starts a binary of this workspace that logs to a file in `directory`.
    pub fn start(name: &'static str, directory: &Path, environment: Vec<(&'static str, String)>) -> Self {
        let log = directory.join(format!("{name}-{}.log", runtime::clock::new_id().simple()));
        let mut process = Self { name, environment, log, child: None };
        process.restart_killed();
        process
    }

    /// Sets an environment variable for the next start.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.to_owned()));
    }

    /// Starts the same binary with the same environment and these arguments; killed on drop.
    pub fn start_command(&self, arguments: &[&str]) -> Child {
        let mut command = self.command();
        command.args(arguments).env("RUST_LOG", "warn").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("starting a command")
    }

    /// Kills the process (SIGKILL).
    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("killing a child");
        }
    }

    /// Sends SIGTERM and waits. Fails the test unless the process exits successfully in time.
    pub async fn terminate(&mut self) {
        if self.child.is_some() {
            self.signal("TERM").await;
            let status = self.ended(GRACEFUL_SHUTDOWN).await;
            assert!(status.success(), "{} exited with {status}\n{}", self.name, self.log());
        }
    }

    /// Sends a signal by name, such as `TERM`.
    pub async fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args(["-s", signal, &self.pid()]).status().await;
        assert!(kill.expect("running kill").success(), "{} cannot be sent {signal}", self.name);
    }

    /// Waits for the exit. Fails the test if it takes longer than `within`.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let mut child = self.child.take().expect("a process that was started");
        let ended = tokio::time::timeout(within, child.wait()).await;
        let ended =
            ended.unwrap_or_else(|_| panic!("{} did not exit within {within:?}\n{}", self.name, self.log()));
        ended.expect("a child has an exit status")
    }

    /// The log so far.
    pub fn log(&self) -> String {
        // The log file is deleted with the test's directory.
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log contains this text.
    pub async fn logged(&self, text: &str) {
        testkit::eventually(&format!("{} logs {text:?}", self.name), || async {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// Peak resident memory in kB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("a running process has a status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        peak.and_then(|peak| peak.trim().parse().ok()).expect("Linux reports the peak resident memory")
    }

    fn pid(&self) -> String {
        let child = self.child.as_ref().expect("a process that was started");
        child.id().expect("a running child has an id").to_string()
    }

    /// Kills and restarts the process.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.restart_killed();
    }

    /// Kills and restarts the process with these additional environment variables.
    pub async fn restart_with(&mut self, variables: &[(&'static str, &str)]) {
        for (name, value) in variables {
            self.set(name, value);
        }
        self.restart().await;
    }

    fn restart_killed(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).expect("opening a log file");
        let child = self.command().stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{}: {error}; run `make test`", self.name)));
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary(self.name));
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // Keeps a developer's `.env` out of the test.
            .current_dir(self.log.parent().expect("a log file is in a directory"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Waits until `/readyz` at this base URL answers "ready".
    pub async fn ready(&self, url: &str) {
        let client = reqwest::Client::new();
        let start = Instant::now();
        let mut answer = "no answer".to_owned();
        while answer != "ready\n" {
            assert!(start.elapsed() < DEADLINE, "{} is not ready: {answer}\n{}", self.name, self.log());
            if let Ok(response) = client.get(format!("{url}/readyz")).send().await {
                answer = response.text().await.unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Path of a binary of this workspace: one directory above the test's own binary.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of the running test");
    let directory = own.parent().and_then(Path::parent).expect("a test binary is in target/<profile>/deps");
    directory.join(name)
}
