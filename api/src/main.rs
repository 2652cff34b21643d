//! The API as a program.

use std::process::ExitCode;

use api::Config;

// Replay speed depends on JSON parsing and allocation.
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
