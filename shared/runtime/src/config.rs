//! Configuration from flags and environment variables of the same name. Secrets can also come from files.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Arg, ArgMatches, Args, Command, Parser, ValueEnum};
use domain::key::Namespace;

/// A value that `Debug` does not show. Parsing trims whitespace and refuses an empty value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret value. Keep it out of logs, URLs and errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = text.trim();
        if value.is_empty() { Err("a secret must not be empty") } else { Ok(Self(value.to_owned())) }
    }
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines of text for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Settings of logging.
#[derive(Clone, Debug, Args)]
pub struct TelemetryConfig {
    /// Format of log lines.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Filter of log lines in the syntax of `tracing`'s `EnvFilter`.
    #[arg(long = "rust-log", env = "RUST_LOG", default_value = "info,poem=warn")]
    pub filter: String,
}

/// Settings of the connection to NATS.
#[derive(Clone, Debug, Args)]
pub struct NatsConfig {
    /// URLs of one or more NATS servers, separated by commas.
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    pub nats_url: String,
    /// NATS user to connect as.
    #[arg(long, env = "NATS_USER", requires = "nats_password")]
    pub nats_user: Option<String>,
    /// Password of that user.
    #[arg(long, env = "NATS_PASSWORD", hide_env_values = true)]
    pub nats_password: Option<Secret>,
    /// Credentials file (JWT and seed) instead of user and password.
    #[arg(long, env = "NATS_CREDENTIALS_FILE", conflicts_with = "nats_user")]
    pub nats_credentials_file: Option<PathBuf>,
    /// CA certificates (PEM) to verify the servers with, instead of the system's. Setting this requires TLS.
    #[arg(long, env = "NATS_CA_FILE")]
    pub nats_ca_file: Option<PathBuf>,
    /// Client certificate (PEM) for servers that require one. Setting this requires TLS.
    #[arg(long, env = "NATS_CERTIFICATE_FILE", requires = "nats_key_file")]
    pub nats_certificate_file: Option<PathBuf>,
    /// Private key (PEM) of that certificate.
    #[arg(long, env = "NATS_KEY_FILE", requires = "nats_certificate_file")]
    pub nats_key_file: Option<PathBuf>,
    /// Prefix of every stream, subject and bucket.
    #[arg(long, env = "NATS_NAMESPACE", default_value = "authentik")]
    pub nats_namespace: Namespace,
}

impl NatsConfig {
    /// Settings for a server without authentication and TLS.
    pub fn plain(url: String, namespace: Namespace) -> Self {
        Self {
            nats_url: url,
            nats_user: None,
            nats_password: None,
            nats_credentials_file: None,
            nats_ca_file: None,
            nats_certificate_file: None,
            nats_key_file: None,
            nats_namespace: namespace,
        }
    }
}

/// A setting that is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file of a secret cannot be read.
    #[error("{variable}: cannot read {path:?}: {problem}")]
    File {
        /// The environment variable that names the file.
        variable: String,
        /// Path of the file.
        path: String,
        /// The error of the operating system.
        problem: String,
    },
    /// A secret is set both directly and by a file.
    #[error("{0} and {0}_FILE are both set: set only one of them")]
    Twice(String),
    /// A flag or variable is invalid, or the arguments request help or version.
    #[error("{}", .0.to_string())]
    Clap(#[from] ClapError),
}

/// An error of clap. `Display` is its first paragraph on one line, which names the setting.
#[derive(Debug)]
pub struct ClapError(pub clap::Error);

impl PartialEq for ClapError {
    fn eq(&self, other: &Self) -> bool {
        self.0.kind() == other.0.kind()
    }
}

impl Eq for ClapError {}

impl std::error::Error for ClapError {}

impl fmt::Display for ClapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let lines: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        f.write_str(lines.join(" ").trim_start_matches("error: "))
    }
}

/// Reads a configuration from arguments and environment, and the matches of the additional `flags`.
///
/// Each of `secrets` names an environment variable whose value may instead be in the file that `<NAME>_FILE` names.
/// `variable` looks up an environment variable.
pub fn parse<C: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
    secrets: &[&str],
    flags: &[Arg],
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(C, ArgMatches), ConfigError> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    for name in secrets {
        let file_variable = format!("{name}_FILE");
        let Some(path) = variable(&file_variable) else { continue };
        if variable(name).is_some() {
            return Err(ConfigError::Twice((*name).to_owned()));
        }
        let value = std::fs::read_to_string(&path).map_err(|error| ConfigError::File {
            variable: file_variable,
            path,
            problem: error.to_string(),
        })?;
        let flag = name.to_lowercase().replace('_', "-");
        // An option of the program must precede a subcommand.
        arguments.insert(1.min(arguments.len()), format!("--{flag}={}", value.trim()).into());
    }
    read(C::command().args(flags), arguments).map_err(|error| ConfigError::Clap(ClapError(error)))
}

fn read<C: Parser>(mut command: Command, arguments: Vec<OsString>) -> Result<(C, ArgMatches), clap::Error> {
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    let config = C::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    Ok((config, matches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Config {
        #[arg(long, env = "TEST_ONLY_TOKEN", hide_env_values = true)]
        test_only_token: Option<Secret>,
        #[arg(long, env = "TEST_ONLY_NUMBER", default_value = "1")]
        test_only_number: u32,
    }

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let arguments = std::iter::once("program").chain(arguments.iter().copied()).map(OsString::from);
        let parsed = parse(arguments, &["TEST_ONLY_TOKEN"], &[], |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        parsed.map(|(config, _)| config)
    }

    #[test]
    fn a_secret_is_read_from_its_file_without_the_line_break() {
        let file = std::env::temp_dir().join(format!("secret-{}", std::process::id()));
        std::fs::write(&file, "s3cret\n").unwrap();
        let config = read(&[], &[("TEST_ONLY_TOKEN_FILE", file.to_str().unwrap())]).unwrap();
        assert_eq!(config.test_only_token.unwrap().expose(), "s3cret");
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn the_error_names_a_missing_file_and_its_variable() {
        let error = read(&[], &[("TEST_ONLY_TOKEN_FILE", "/nowhere/token")]).unwrap_err();
        assert!(
            error.to_string().starts_with("TEST_ONLY_TOKEN_FILE: cannot read \"/nowhere/token\""),
            "{error}"
        );
    }

    #[test]
    fn a_secret_set_directly_and_by_file_is_refused() {
        let error = read(&[], &[("TEST_ONLY_TOKEN_FILE", "x"), ("TEST_ONLY_TOKEN", "y")]).unwrap_err();
        assert_eq!(error, ConfigError::Twice("TEST_ONLY_TOKEN".into()));
    }

    #[test]
    fn an_invalid_value_gives_an_error_of_one_line_that_names_the_setting() {
        let error = read(&["--test-only-number", "many"], &[]).unwrap_err().to_string();
        assert!(error.contains("--test-only-number") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn debug_does_not_show_a_secret() {
        let config = read(&["--test-only-token", "s3cret"], &[]).unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
