//! Upstash on this machine, for a Worker or a relay that is tried out here: see `crs_support::upstash`.
//!
//! Prints one line, its address, and ends when its input ends: whoever started it leaves no orphan.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use crs_support::upstash::{KeptRedis, Options, UpstashFront};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
struct Cli {
    /// The port of a Redis on this machine.
    #[arg(
        long,
        required_unless_present = "redis_server",
        conflicts_with = "redis_server"
    )]
    redis_port: Option<u16>,
    /// The variable that holds its password.
    #[arg(long, value_name = "NAME", requires = "redis_port")]
    redis_password_env: Option<String>,
    /// Start a Redis of its own, which keeps its data in this folder.
    #[arg(long, value_name = "FOLDER")]
    redis_server: Option<PathBuf>,
    /// The variable that holds the token callers must show.
    #[arg(long, value_name = "NAME")]
    token_env: String,
    /// The port to listen on; 0: any free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("upstash-front: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), String> {
    let token = variable(&cli.token_env)?;
    let (kept, redis_port, redis_password) = match (&cli.redis_server, cli.redis_port) {
        (Some(folder), _) => {
            let kept = KeptRedis::start(folder)
                .await
                .map_err(|error| format!("{}: {error}", folder.display()))?;
            let (port, password) = (kept.port(), kept.password().to_owned());
            (Some(kept), port, Some(password))
        }
        (None, port) => {
            let password = cli.redis_password_env.as_deref().map(variable).transpose()?;
            (None, port.unwrap_or_default(), password)
        }
    };
    let front = UpstashFront::open(Options {
        redis_port,
        redis_password,
        token,
        port: cli.port,
    })
    .await
    .map_err(|error| format!("port {}: {error}", cli.port))?;
    println!("{}", front.url());
    asked_to_end().await.map_err(|error| error.to_string())?;
    drop(front);
    drop(kept);
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("the variable {name} is not set"))
}

/// Its input ends, or a signal comes.
async fn asked_to_end() -> std::io::Result<()> {
    let (ended, end) = tokio::sync::oneshot::channel();
    // A thread of its own: one that the runtime waits for would never end.
    std::thread::spawn(move || {
        let mut bytes = [0; 256];
        while std::io::stdin().read(&mut bytes).is_ok_and(|count| count > 0) {}
        let _ = ended.send(());
    });
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = end => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
