//! The benchmark: what a relay costs on top of going direct, measured from outside.
//!
//! Three processes share the machine: a provider that does almost nothing, the relay under test, and this
//! load generator. The relay's processor time is read from `/proc`, so the other two do not count; latencies
//! are the relay's minus those of going direct, measured in turns; and the provider's own figures stand
//! beside them, to show that it is not what was measured. The floor, the smallest relay that can be written, is
//! measured in every table, so that each figure is also a ratio; nginx as a bare proxy calibrates the machine.

mod bodies;
mod cores;
mod floor;
mod load;
mod others;
mod provider;
mod report;
mod run;
mod scenario;
mod stats;
mod target;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// What the `bench` program is asked to do.
#[derive(Debug, Parser)]
#[command(about = "Measures what a relay costs")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as the fast provider, until standard input ends; prints its URL.
    Provider {
        /// 0 is any free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Serve as the smallest relay there is, until standard input ends; prints its URL.
    Floor {
        /// URL of the provider.
        #[arg(long)]
        provider: String,
    },
    /// Measure, print a table and write JSON.
    Run(RunArgs),
}

/// Options of a run.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "a switch each")]
struct RunArgs {
    /// The relay's program.
    #[arg(long)]
    relay: Option<PathBuf>,
    /// Another program of the relay to measure in the same run: that of an earlier commit.
    #[arg(long)]
    before: Option<PathBuf>,
    /// Measure the relay with a redis-server as its store, too.
    #[arg(long)]
    redis: bool,
    /// Measure three processes of the relay on one redis-server, too; connections are spread over them.
    #[arg(long)]
    cluster: bool,
    /// Give what is measured a processor core of its own, and the load and the provider the others.
    #[arg(long)]
    own_core: bool,
    /// Look at memory and disk over a million requests in place of 20,000.
    #[arg(long)]
    million: bool,
    /// The checkout whose built Worker to measure beside it, in workerd.
    #[arg(long)]
    worker: Option<PathBuf>,
    /// Fewer requests: figures within some ten percent, in about a minute.
    #[arg(long)]
    quick: bool,
    /// Where to write the figures.
    #[arg(long, default_value = "bench-results/latest.json")]
    json: PathBuf,
    /// Measure only this; may be repeated.
    #[arg(long, value_enum)]
    only: Vec<scenario::Name>,
    /// Base URL of another relay to measure beside ours, as a client would be given it. Its provider must be
    /// the URL given with --provider-port.
    #[arg(long)]
    against: Option<String>,
    /// Key to show to the other relay.
    #[arg(long, default_value = "", hide_default_value = true)]
    against_key: String,
    /// Process of the other relay, for its processor time and memory; may be repeated.
    #[arg(long)]
    against_pid: Vec<u32>,
    /// Port of the fast provider; 0 is any free one.
    #[arg(long, default_value_t = 0)]
    provider_port: u16,
    /// Leave out nginx, even if it is installed.
    #[arg(long)]
    no_nginx: bool,
    /// End with an error when an aim is missed.
    #[arg(long)]
    strict: bool,
}

/// Runs the program; returns its exit code.
pub fn main(cli: Cli) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match cli.command {
            Command::Provider { port } => provider::serve(port).await,
            Command::Floor { provider } => floor::serve(&provider).await,
            // Whoever stops the run also stops what it has started: all of it ends when dropped.
            Command::Run(args) => tokio::select! {
                code = run::run(args) => code,
                _ = tokio::signal::ctrl_c() => 130,
                () = terminated() => 143,
            },
        }
    })
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}
