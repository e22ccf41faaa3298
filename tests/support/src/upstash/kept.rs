//! A Redis whose data stays in a folder, for as long as its owner lives.
//!
//! It ends when this value is dropped, and also when the process that holds it is killed: a shell between
//! the two reads a pipe that only the owner holds open.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::command::Command as Said;
use super::resp::{Redis, Value};

/// Longest wait for a start (its data is read first) and for an end (it is written first).
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends the server in order when its own input ends, and leaves when the server does.
const KEEPER: &str = r#"
redis-server "$1" < /dev/null &
server=$!
exec 3<&0
(read -r _ <&3; kill "$server" 2> /dev/null) &
wait "$server"
"#;

pub struct KeptRedis {
    keeper: Child,
    port: u16,
    password: String,
}

impl KeptRedis {
    /// Starts a `redis-server` on a free port of 127.0.0.1, with a password of its own, that appends every
    /// write to a file in `folder`, and waits until it answers.
    ///
    /// # Errors
    /// When the folder cannot be used or the server does not start; its log is in the folder.
    pub async fn start(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        let folder = folder.canonicalize()?;
        let (port, password) = (free_port()?, password()?);
        let settings = settings(&folder, port, &password)?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "redis"])
            .arg(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut kept = Self {
            keeper,
            port,
            password,
        };
        kept.answers().await.map_err(|error| {
            let log = folder.join("redis.log");
            io::Error::new(error.kind(), format!("{error}; see {}", log.display()))
        })?;
        Ok(kept)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn password(&self) -> &str {
        &self.password
    }

    async fn answers(&mut self) -> io::Result<()> {
        let redis = Redis::new(self.port, Some(self.password.clone()));
        let start = Instant::now();
        loop {
            let said = redis.ask(&[Said(vec![b"PING".to_vec()])]).await;
            if matches!(said.as_deref(), Ok([Value::Status(_)])) {
                return Ok(());
            }
            if self.keeper.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                return Err(io::Error::other("redis-server does not start"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for KeptRedis {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.keeper.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.keeper.kill();
    }
}

/// The settings in a file that only this user reads: a password among arguments would be seen by all.
fn settings(folder: &Path, port: u16, password: &str) -> io::Result<PathBuf> {
    let mut text = String::new();
    for (name, value) in [
        ("bind", "127.0.0.1"),
        ("port", &port.to_string()),
        ("save", ""),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("logfile", "redis.log"),
        ("requirepass", password),
        ("dir", &folder.display().to_string()),
    ] {
        writeln!(text, "{name} \"{value}\"").map_err(io::Error::other)?;
    }
    let file = folder.join("redis.conf");
    let _ = fs::remove_file(&file);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)?
        .write_all(text.as_bytes())?;
    Ok(file)
}

fn password() -> io::Result<String> {
    let mut bytes = [0; 24];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
