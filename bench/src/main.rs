//! Measures what performance rests on, as ratios within one run: this system as it is, against the naive way that
//! its design rejects. See `README.md` beside this.

mod benchmarks;
mod cli;
mod compare;
mod events;
mod hosts;
mod naive;
mod report;
mod server;
mod subscribers;

use std::process::ExitCode;

// The one that the binaries have.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
