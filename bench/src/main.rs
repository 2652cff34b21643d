//! Benchmarks of the performance-critical parts: this system as it is, against the naive way that its design
//! rejects. Each result is a ratio of costs within one run, so it does not depend on the machine.
//!
//! ```text
//! cargo run --release -p bench -- feed
//! ```
//!
//! [`benchmarks`] sets up each comparison, [`compare`] measures both ways in turn, [`report`] prints the
//! ratios. `README.md` in this directory explains how to read them.

mod benchmarks;
mod cli;
mod compare;
mod events;
mod hosts;
mod load;
mod naive;
mod reference;
mod report;
mod server;
mod subscribers;

use std::process::ExitCode;

// The allocator of the binaries.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
