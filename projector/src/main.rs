use std::process::ExitCode;

use projector::Cli;

// Allocations limit the speed of replays.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let secrets = ["NATS_PASSWORD", "AUTHENTIK_TOKEN"];
    runtime::program::service(
        &secrets,
        |cli: &Cli| &cli.config.telemetry,
        |cli| &cli.config.listen,
        projector::cli,
    )
}
