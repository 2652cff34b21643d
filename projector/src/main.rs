use std::process::ExitCode;

use projector::{Config, Operate};

// JSON and allocation are what replay is bound by.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if Operate::is_meant_by(std::env::args()) {
        return runtime::program::main(
            &["NATS_PASSWORD"],
            |operate: &Operate| &operate.telemetry,
            Operate::run,
        );
    }
    let secrets = ["NATS_PASSWORD", "AUTHENTIK_TOKEN"];
    runtime::program::main(&secrets, |config: &Config| &config.telemetry, projector::run)
}
