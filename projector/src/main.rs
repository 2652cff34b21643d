use std::process::ExitCode;

use projector::Config;

// JSON and allocation are what replay is bound by.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let secrets = ["NATS_PASSWORD", "AUTHENTIK_TOKEN"];
    runtime::program::main(&secrets, |config: &Config| &config.telemetry, projector::run)
}
