use std::process::ExitCode;

use standalone::Config;

fn main() -> ExitCode {
    runtime::program::main(&[], |config: &Config| &config.telemetry, standalone::run)
}
