//! How long the takeover of a large claude-relay-service takes, and the memory that it needs: `scripts/bench --import`.

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use crs_support::crs::large::{self, ROWS_A_DAY};
use crs_support::redis_server::RedisServer;

const ENCRYPTION_KEY: &str = "the-encryption-key-of-the-old-relay";

#[derive(Parser)]
struct Cli {
    /// The release build of the relay.
    #[arg(long)]
    crs: PathBuf,
    #[arg(long, default_value_t = 50_000)]
    keys: u64,
    /// Days that each key was used on, with three rows each.
    #[arg(long, default_value_t = 7)]
    days: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let redis = RedisServer::start();
    let began = Instant::now();
    large::load(&redis, 0, ENCRYPTION_KEY, cli.keys, cli.days);
    eprintln!(
        "{} keys, {} rows, written in {:.0} s",
        cli.keys,
        cli.keys * cli.days * ROWS_A_DAY,
        began.elapsed().as_secs_f64()
    );
    let folder = tempfile::tempdir().expect("a folder");
    let env = folder.path().join("crs.env");
    let settings = format!(
        "ENCRYPTION_KEY={ENCRYPTION_KEY}\nREDIS_HOST=127.0.0.1\nREDIS_PORT={}\nREDIS_PASSWORD={}\nREDIS_DB=0\nTIMEZONE_OFFSET=8\n",
        redis.port(),
        redis.password()
    );
    std::fs::write(&env, settings).expect("a file");
    println!("| step | seconds | peak memory, MB |\n| --- | --- | --- |");
    let mut good = true;
    for (step, more) in [
        ("rehearsal", &["--dry-run"][..]),
        ("copy", &[]),
        ("copy once more", &[]),
        ("proof", &["--verify"]),
    ] {
        let began = Instant::now();
        let child = Command::new(&cli.crs)
            .args(["import", "--json", "--env"])
            .arg(&env)
            .args(more)
            .env_clear()
            .env("DATA_DIR", folder.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the relay runs");
        let (ended_well, peak) = watched(child);
        good &= ended_well;
        let told = if ended_well { "" } else { " (failed)" };
        println!(
            "| {step}{told} | {:.1} | {} |",
            began.elapsed().as_secs_f64(),
            peak / 1_000_000
        );
    }
    let store = std::fs::metadata(folder.path().join("data/crs.redb")).map_or(0, |file| file.len());
    println!("store: {} MB", store / 1_000_000);
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Waits for its end; whether it ended well, and the most memory that it held, in bytes.
fn watched(mut child: Child) -> (bool, u64) {
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kilobytes = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) * 1_024);
        if let Some(status) = child.try_wait().expect("a child to ask after") {
            return (status.success(), peak);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
