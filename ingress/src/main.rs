//! The ingress as a program.

use std::process::ExitCode;

use ingress::Config;

fn main() -> ExitCode {
    runtime::program::main(
        &["NATS_PASSWORD", "WEBHOOK_SECRETS"],
        |config: &Config| &config.telemetry,
        ingress::run,
    )
}
