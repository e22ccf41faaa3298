//! Targets of measurements: the relay, nginx, another relay, or the provider itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::cores::Cores;
use super::others::CHAT_MODEL;
use super::report::FLOOR;
use crate::client::Client;
use crate::relay::{Key, Process, Relay, Setup, rss_kib};

/// A server under load.
pub(super) struct Target {
    pub(super) name: &'static str,
    /// `host:port`.
    pub(super) address: String,
    /// Addresses of further processes of the same relay.
    others: Vec<String>,
    /// Before `/v1/messages`.
    pub(super) path: String,
    pub(super) key: String,
    /// Whose processor time and memory count; none if unknown.
    pub(super) processes: Vec<u32>,
    /// From its start to its first answer, in milliseconds; none if unknown.
    pub(super) start: Option<f64>,
    /// Kept alive while it is measured.
    keeps: Keeps,
}

enum Keeps {
    Nothing,
    /// Ends the relay when dropped.
    Relay(Box<Relay>),
    Floor(#[expect(dead_code, reason = "ends the floor when dropped")] Own),
    Nginx(#[expect(dead_code, reason = "ends nginx when dropped")] Nginx),
}

/// Its workers outlive a killed master, so it is asked to end.
struct Nginx {
    process: Process,
    _folder: TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        if self.process.exited().is_none() {
            self.process.terminate();
        }
        while self.process.exited().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The target that is the program of an earlier commit.
pub(super) const BEFORE: &str = "before";

impl Target {
    /// Any server at a URL.
    pub(super) fn at(name: &'static str, url: &str, key: &str, processes: Vec<u32>) -> Self {
        let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Self {
            name,
            address: address.replace("localhost", "127.0.0.1"),
            others: Vec::new(),
            path: path.into(),
            key: key.into(),
            processes,
            start: None,
            keeps: Keeps::Nothing,
        }
    }

    /// Our relay, with all its book-keeping; `name` tells several programs and stores apart.
    pub(super) async fn relay(name: &'static str, setup: Setup, provider: &str, cores: &Cores) -> Self {
        Self::with_account(name, setup, provider, cores).await
    }

    /// The smallest relay there is, see [`floor`](super::floor).
    pub(super) fn floor(provider: &str, cores: &Cores) -> Self {
        let floor = cores.target(|| Own::start(&["floor", "--provider", provider]));
        let target = Self::at(FLOOR, &floor.url, "sk-ant-api03-bench", vec![floor.process()]);
        Self {
            keeps: Keeps::Floor(floor),
            ..target
        }
    }

    /// Our Worker of this checkout, in workerd; what it costs there includes its Durable Objects.
    pub(super) async fn worker(checkout: &Path, provider: &str) -> Self {
        // As often as it writes where it is billed for that.
        let setup = Relay::worker(checkout).env("LEDGER_FLUSH_INTERVAL", 10_000);
        Self::with_account("worker", setup, provider, &Cores::all()).await
    }

    /// With one account and one key made through the admin API.
    async fn with_account(name: &'static str, setup: Setup, provider: &str, cores: &Cores) -> Self {
        let setup = setup.provider_url(provider).env("LOG_LEVEL", "warn");
        let mut relay = setup.start().await;
        relay.claude_account("bench", "sk-ant-api03-bench").await;
        for (platform, credentials) in [
            ("openai", json!({"type": "apiKey", "apiKey": "sk-bench"})),
            (
                "gemini",
                json!({"type": "oauth", "accessToken": "ya29.bench", "tenant": "bench"}),
            ),
            (
                "antigravity",
                json!({"type": "oauth", "accessToken": "ya29.bench", "tenant": "bench"}),
            ),
        ] {
            let mut account = json!({"name": platform, "platform": platform, "credentials": credentials});
            if platform == "openai" {
                account["supportedModels"] = json!(["gpt-5"]);
            }
            relay.add_account(&account).await;
        }
        let host = json!({
            "name": "chat host", "platform": "openai", "chatOnly": true, "supportedModels": [CHAT_MODEL],
            "credentials": {"type": "apiKey", "apiKey": "sk-bench", "baseUrl": format!("{provider}/v1")},
        });
        let added = relay.admin().post("/admin/accounts", &host).await;
        // A program of an earlier commit may not know such hosts: the rows that need one name its error.
        if name == BEFORE && added.status >= 400 {
            eprintln!(
                "{name} refuses a host that only knows chat completions: {}",
                added.status
            );
        } else {
            added.expect(201);
        }
        let key = key_with_every_limit(&relay).await;
        relay.terminate().await;
        let begin = Instant::now();
        cores.to_target();
        relay.start_again().await;
        cores.to_others();
        Client::new(relay.url()).get("/health").await.good();
        let start = begin.elapsed().as_secs_f64() * 1000.0;
        let target = Self::at(name, &relay.api(), &key.secret, relay.pids());
        let address = |url: &String| url.trim_start_matches("http://").to_owned();
        Self {
            start: Some(start),
            others: relay.urls().iter().skip(1).map(address).collect(),
            keeps: Keeps::Relay(Box::new(relay)),
            ..target
        }
    }

    /// The address for a connection of this number: the processes take turns.
    pub(super) fn address_of(&self, number: usize) -> &str {
        match number % (self.others.len() + 1) {
            0 => &self.address,
            at => &self.others[at - 1],
        }
    }

    /// Under which the other protocols have their paths.
    pub(super) fn root(&self) -> &str {
        self.path.strip_suffix("/api").unwrap_or(&self.path)
    }

    /// What it or its platform has counted so far, as its metrics have it: allocations and their bytes where the
    /// program was built to count them, messages to Durable Objects, rows they wrote, commands of the store. None
    /// for what runs elsewhere.
    pub(super) async fn billed(&self) -> Option<[Option<u64>; 5]> {
        let Keeps::Relay(relay) = &self.keeps else {
            return None;
        };
        let text = relay.metrics().await;
        let units = |service: &str| -> Option<u64> {
            let line = format!("crs_platform_units{{service=\"{service}\"}} ");
            let units = text.lines().find_map(|metric| metric.strip_prefix(&line))?;
            units.parse().ok()
        };
        let counted = [
            units("allocations"),
            units("allocated_bytes"),
            units("object_requests"),
            units("object_rows_written"),
            units("store_commands"),
        ];
        counted.iter().any(Option::is_some).then_some(counted)
    }

    /// What the relay's Redis has spent so far: nanoseconds of processor time, commands (those of scripts count), bytes
    /// received. None without Redis.
    pub(super) fn redis(&self) -> Option<[u64; 3]> {
        let Keeps::Relay(relay) = &self.keeps else {
            return None;
        };
        let redis = relay.redis_if_any()?;
        let stats = redis.command(&["INFO", "stats"]);
        let count = |name: &str| -> Option<u64> {
            let line = stats.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse().ok()
        };
        Some([
            cpu_nanos(redis.pid()),
            count("total_commands_processed:")?,
            count("total_net_input_bytes:")?,
        ])
    }

    /// nginx as a bare proxy, if it is installed: kept connections both ways, streams unbuffered, no log.
    pub(super) async fn nginx(provider: &str) -> Option<Self> {
        let program = [
            "/usr/sbin/nginx",
            "/usr/local/sbin/nginx",
            "/usr/bin/nginx",
            "/opt/homebrew/bin/nginx",
        ];
        let program = program.iter().map(PathBuf::from).find(|path| path.exists())?;
        let folder = TempDir::new().ok()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        // nginx cannot say which free port it took, so one is picked for it; whoever takes it in between
        // makes nginx end, and this row is left out.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .ok()?
            .local_addr()
            .ok()?
            .port();
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let address = provider.strip_prefix("http://").unwrap_or(provider);
        let root = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let config = format!(
            "{root} worker_processes {workers}; daemon off; pid {pid}; error_log {log} crit;\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n\
               access_log off; client_max_body_size 200m; client_body_buffer_size 1m; tcp_nodelay on;\n\
               keepalive_requests 100000000; keepalive_timeout 600s;\n\
               client_body_temp_path {tmp}; proxy_temp_path {tmp}; fastcgi_temp_path {tmp};\n\
               uwsgi_temp_path {tmp}; scgi_temp_path {tmp};\n\
               upstream provider {{ server {address}; keepalive 512; keepalive_requests 100000000; }}\n\
               server {{\n\
                 listen 127.0.0.1:{port};\n\
                 location / {{\n\
                   proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
                   proxy_buffering off; proxy_read_timeout 600s;\n\
                 }}\n\
               }}\n\
             }}\n",
            pid = at("nginx.pid"),
            log = at("error.log"),
            tmp = at("tmp"),
        );
        std::fs::write(at("nginx.conf"), config).ok()?;
        std::fs::create_dir(at("tmp")).ok()?;
        let process = Process::new(program, Vec::new(), folder.path().into(), at("nginx.log").into())
            .args(&["-p", &at(""), "-c", &at("nginx.conf")]);
        let mut nginx = Nginx {
            process,
            _folder: folder,
        };
        let master = nginx.process.start();
        let deadline = Instant::now() + Duration::from_secs(5);
        let address = format!("127.0.0.1:{port}");
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            if nginx.process.exited().is_some() || Instant::now() > deadline {
                eprintln!(
                    "nginx does not start and is left out: {}",
                    nginx.process.log_tail()
                );
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).ok()?;
        let processes = children
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect();
        let target = Self::at("nginx", &address, "sk-ant-api03-bench", processes);
        Some(Self {
            keeps: Keeps::Nginx(nginx),
            ..target
        })
    }

    /// Processor time used so far, in nanoseconds.
    pub(super) fn cpu_nanos(&self) -> Option<u64> {
        (!self.processes.is_empty()).then(|| self.processes.iter().map(|&id| cpu_nanos(id)).sum())
    }

    /// Bytes on disk of our relay's data: what the file occupies, not how long it is.
    pub(super) fn stored(&self) -> Option<u64> {
        let Keeps::Relay(relay) = &self.keeps else {
            return None;
        };
        let file = std::fs::metadata(relay.data().join("crs.redb")).ok()?;
        Some(std::os::unix::fs::MetadataExt::blocks(&file) * 512)
    }

    /// Memory held now, in KiB.
    pub(super) fn rss_kib(&self) -> Option<u64> {
        (!self.processes.is_empty()).then(|| self.processes.iter().map(|&id| rss_kib(id)).sum())
    }
}

/// This program in a process of its own, as the fast provider or the floor; ends with this value.
pub(super) struct Own {
    child: std::process::Child,
    pub(super) url: String,
}

impl Own {
    pub(super) fn provider(port: u16) -> Self {
        Self::start(&["provider", "--port", &port.to_string()])
    }

    fn start(args: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program's path");
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("its URL");
        let url = line.trim().to_owned();
        assert!(url.starts_with("http://"), "{args:?} did not start");
        Self { child, url }
    }

    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of a process's threads, as the scheduler counts it; of threads that have ended it knows no more.
fn cpu_nanos(id: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).expect("a running process");
    let of = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    };
    threads.flatten().filter_map(of).sum()
}

/// Nothing of it is ever reached, all of it is counted.
async fn key_with_every_limit(relay: &Relay) -> Key {
    let far_off = 1_000_000;
    relay
        .key("bench")
        .set("expirationMode", "activation")
        .set("activationDays", 365)
        .set("permissions", json!(["claude", "gemini", "openai"]))
        .set("enableModelRestriction", true)
        .set("restrictedModels", json!(["claude-none-such"]))
        .set("enableClientRestriction", true)
        .set(
            "allowedClients",
            json!(["claude_code", "gemini_cli", "codex_cli"]),
        )
        .set("concurrencyLimit", 10_000)
        .set("concurrencyQueueSize", 1_000)
        .set("concurrencyQueueTimeout", 10_000)
        .set("rateLimitWindow", 60)
        .set("rateLimitRequests", 1_000_000_000)
        .set("rateLimitCost", far_off)
        .set("tokenLimit", 1_000_000_000_000_000_u64)
        .set("dailyCostLimit", far_off)
        .set("weeklyCostLimit", far_off)
        .set("weeklyOpusCostLimit", far_off)
        .set("monthlyCostLimit", far_off)
        .set("totalCostLimit", far_off)
        .create()
        .await
}
