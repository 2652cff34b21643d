use std::process::ExitCode;

use ingress::Config;

fn main() -> ExitCode {
    runtime::program::service(
        &["NATS_PASSWORD", "WEBHOOK_SECRETS"],
        |config: &Config| &config.telemetry,
        |config| &config.ingress_listen,
        ingress::run,
    )
}
