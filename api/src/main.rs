//! The API as a program.

use std::process::ExitCode;

use api::Config;

// JSON and allocation are what replay is bound by.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::program::service(
        &["NATS_PASSWORD", "API_PROXY_SECRET"],
        |config: &Config| &config.telemetry,
        |config| &config.listen,
        api::run,
    )
}
