//! See `crs_support::bench`.

use std::process::ExitCode;

use clap::Parser as _;
use crs_support::bench::{Cli, main as bench};

fn main() -> ExitCode {
    bench(Cli::parse()).into()
}
