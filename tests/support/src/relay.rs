//! The relay as a user has it: an address, a log, an admin, and a place where its data outlives it.
//!
//! ```no_run
//! # async fn example(provider: crs_support::provider::FakeProvider) {
//! use crs_support::relay::Relay;
//!
//! let relay = Relay::at("target/debug/crs").provider(&provider).start().await;
//! relay.claude_account("first", "sk-ant-first").await;
//! let key = relay.key("laptop").set("concurrencyLimit", 2).create().await;
//! let answer = relay.client(&key.secret).messages("hi").stream().send().await.good();
//! # }
//! ```
//!
//! Where it runs is a [`Host`], and the verbs are the same on each. Whatever was started is ended on drop, by
//! its id, and its log shown when a wait for it fails.

mod admin;
mod cluster;
mod front;
mod host;
mod inside;
mod process;
mod worker;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Answer, Client};
use crate::provider::FakeProvider;
use crate::redis_server::RedisServer;
use crate::upstash::UpstashFront;
use crate::within;

pub use admin::{Key, NewKey};
pub use host::Host;
pub use inside::Serve;
pub use process::{Process, cpu_micros, rss_kib};

use cluster::Others;
use front::Front;
use inside::Inside;
use worker::Launch;

/// Longest wait for the relay to listen or to end.
const START: Duration = Duration::from_secs(30);

/// Lets accounts and proxies be on this machine. A test of what is refused sets it to `false`.
const PRIVATE: &str = "ALLOW_PRIVATE_UPSTREAMS";

/// How a relay is to be started.
#[derive(Debug)]
pub struct Setup {
    runs: Runs,
    redis: bool,
    /// Two more processes on the same Redis.
    cluster: bool,
    /// A second Worker on the same objects.
    twice: bool,
    env: Vec<(String, String)>,
    data: Option<PathBuf>,
}

/// What there is to run.
#[derive(Debug)]
enum Runs {
    Program(PathBuf),
    Inside(Serve),
    /// The Worker built in this checkout.
    Worker(PathBuf),
}

impl Setup {
    fn of(runs: Runs) -> Self {
        Self {
            runs,
            redis: false,
            cluster: false,
            twice: false,
            env: Vec::new(),
            data: None,
        }
    }

    /// Gives it a `redis-server` of its own as its store.
    pub fn with_redis(mut self) -> Self {
        self.redis = true;
        self
    }

    /// Three processes on one Redis; clients of [`Relay`] ask them in turn.
    pub fn as_cluster(mut self) -> Self {
        self.cluster = true;
        self.with_redis()
    }

    /// Runs a second Worker on the same objects, see [`Relay::second`].
    pub fn twice(mut self) -> Self {
        self.twice = true;
        self
    }

    /// Sets a variable; on the Worker, a binding. An empty environment is what it starts from.
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        set(&mut self.env, name, value.to_string());
        self
    }

    /// Every provider host of the relay is this fake.
    pub fn provider(self, provider: &FakeProvider) -> Self {
        self.provider_url(&provider.url())
    }

    /// [`Setup::provider`], for a fake in another process.
    pub fn provider_url(mut self, url: &str) -> Self {
        for name in [
            "CLAUDE_API_URL",
            "OPENAI_API_URL",
            "CODEX_API_URL",
            "GEMINI_API_URL",
            "CODE_ASSIST_URL",
            "ANTIGRAVITY_API_URL",
            "ENTRA_URL",
        ] {
            self = self.env(name, url);
        }
        for name in ["CLAUDE_OAUTH_URL", "OPENAI_OAUTH_URL", "GOOGLE_OAUTH_URL"] {
            self = self.env(name, format!("{url}/v1/oauth/token"));
        }
        self
    }

    /// Uses this data folder, and leaves it there. Otherwise it is a new one that goes with the relay.
    pub fn data(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data = Some(folder.into());
        self
    }

    /// Uses the data of another relay, which does not run now.
    pub fn data_of(mut self, other: &Relay) -> Self {
        self.redis = false;
        if let Some(front) = &other.front {
            for (name, value) in front.bindings() {
                self = self.env(name, value);
            }
        } else if let Some(redis) = &other.redis {
            self = self.env("REDIS_URL", redis.url(0));
        }
        self.data(&other.data)
    }

    /// Starts the relay and waits until it listens.
    pub async fn start(self) -> Relay {
        let mut relay = self.prepare();
        relay.start_again().await;
        relay
    }

    /// Starts a Worker that serves nobody because something is not set; there is no admin.
    pub async fn start_unready(self) -> Relay {
        let mut relay = self.prepare();
        relay.listen().await;
        relay
    }

    /// Makes the folders and starts the store it is given, but not the relay.
    pub fn prepare(self) -> Relay {
        let memory = Path::new("/dev/shm");
        let folder = match self.runs {
            // Each message to a Durable Object waits until its rows are on disk: this machine's is not the one
            // that is measured, and not what is tested.
            Runs::Worker(_) if memory.is_dir() => memory.to_owned(),
            _ => std::env::temp_dir(),
        };
        let home = tempfile::Builder::new()
            .prefix("crs-test-")
            .tempdir_in(folder)
            .expect("a temporary folder");
        let data = self.data.unwrap_or_else(|| home.path().join("data"));
        std::fs::create_dir_all(&data).expect("the data folder");
        let redis = self.redis.then(RedisServer::start);
        let mut env = vec![
            ("HOST".to_owned(), "127.0.0.1".to_owned()),
            ("PORT".to_owned(), "0".to_owned()),
            ("DATA_DIR".to_owned(), data.display().to_string()),
            // Everything that a test calls is on this machine.
            (PRIVATE.to_owned(), "true".to_owned()),
        ];
        if let Some(redis) = &redis {
            env.push(("REDIS_URL".to_owned(), redis.url(0)));
        }
        let log = home.path().join("relay.log");
        let mut others = None;
        let engine = match self.runs {
            Runs::Program(program) => {
                for (name, value) in process_env(home.path()).into_iter().chain(self.env) {
                    set(&mut env, &name, value);
                }
                others = self.cluster.then(|| Others::of(&program, &env, home.path()));
                Engine::Process(Process::new(program, env, home.path().into(), log))
            }
            Runs::Inside(serve) => {
                for (name, value) in self.env {
                    set(&mut env, &name, value);
                }
                Engine::Inside(Inside::new(serve, env))
            }
            Runs::Worker(checkout) => {
                let launch = Launch::new(&checkout, self.env, &data, self.twice);
                let process = launch.process(process_env(home.path()), home.path(), log);
                Engine::Worker(process, launch)
            }
        };
        Relay {
            engine,
            others,
            data,
            server: None,
            redis,
            front: None,
            _home: home,
        }
    }
}

fn set(env: &mut Vec<(String, String)>, name: &str, value: String) {
    env.retain(|(n, _)| n != name);
    env.push((name.into(), value));
}

/// What every process is given.
fn process_env(home: &Path) -> Vec<(String, String)> {
    let path = std::env::var("PATH").unwrap_or_default();
    let home = home.display().to_string();
    [
        ("PATH", path),
        ("HOME", home),
        ("RUST_BACKTRACE", "1".to_owned()),
        // No balancer is in front of it.
        ("SHUTDOWN_NOTICE", "0".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// A relay that runs, or is ready to.
pub struct Relay {
    engine: Engine,
    /// Of a cluster.
    others: Option<Others>,
    data: PathBuf,
    server: Option<Server>,
    redis: Option<RedisServer>,
    front: Option<Front>,
    _home: TempDir,
}

enum Engine {
    Process(Process),
    Inside(Inside),
    Worker(Process, Launch),
}

/// What is known of it once it listens.
#[derive(Clone, Debug)]
struct Server {
    url: String,
    second: Option<String>,
    /// Where Miniflare takes orders.
    control: Option<String>,
    /// The process that serves.
    pid: u32,
    /// Of the local command line; on the Worker, of an admin's session.
    token: String,
}

impl Relay {
    /// A relay of this program, such as `env!("CARGO_BIN_EXE_crs")`.
    pub fn at(program: impl Into<PathBuf>) -> Setup {
        Setup::of(Runs::Program(program.into()))
    }

    /// A relay in this very process; its store is its memory.
    pub fn inside(serve: Serve) -> Setup {
        Setup::of(Runs::Inside(serve)).env("STORE", "memory")
    }

    /// The Worker that `scripts/build-worker` made in this checkout, in Miniflare, with Redis behind a front
    /// that speaks like Upstash.
    pub fn worker(checkout: impl Into<PathBuf>) -> Setup {
        Setup::of(Runs::Worker(checkout.into())).with_redis()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the relay was not started")
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.server().url
    }

    /// The base URL to give to clients of the Anthropic API, without a slash at the end.
    pub fn api(&self) -> String {
        format!("{}/api", self.url())
    }

    /// Where the second Worker listens: another isolate, the same objects.
    ///
    /// # Panics
    /// If there is none, see [`Setup::twice`].
    pub fn second(&self) -> &str {
        self.server().second.as_deref().expect("a second Worker")
    }

    /// Sends the Worker a request with properties of Cloudflare's that no client can set.
    ///
    /// # Panics
    /// On other hosts.
    pub async fn with_cf(&self, path: &str, cf: &Value) -> Answer {
        let control = self.server().control.as_deref().expect("a Worker");
        Client::new(control)
            .call("GET", path)
            .header("mf-cf-blob", &cf.to_string())
            .send()
            .await
    }

    /// Has Cloudflare's timer go off, for the Worker.
    ///
    /// # Panics
    /// On other hosts.
    pub async fn trigger(&self) {
        let control = self.server().control.as_deref().expect("a Worker");
        Client::new(control)
            .get("/cdn-cgi/handler/scheduled")
            .await
            .good();
    }

    /// Where its data is; on the Worker, that of the Durable Objects.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The id of the process that serves, for its processor time and memory.
    pub fn pid(&self) -> u32 {
        self.server().pid
    }

    /// The ids of all its processes.
    pub fn pids(&mut self) -> Vec<u32> {
        let others = self.others.iter_mut().flat_map(Others::members);
        let others: Vec<u32> = others.map(|member| member.process.id()).collect();
        std::iter::once(self.pid()).chain(others).collect()
    }

    /// Its `redis-server`, if it has one.
    pub fn redis_if_any(&self) -> Option<&RedisServer> {
        self.redis.as_ref()
    }

    /// Its `redis-server`.
    ///
    /// # Panics
    /// If it has none.
    pub fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("a relay with Redis")
    }

    /// What speaks like Upstash in front of it.
    ///
    /// # Panics
    /// If it is no Worker.
    pub fn upstash(&self) -> &UpstashFront {
        self.front.as_ref().expect("a Worker that was started").upstash()
    }

    /// All it wrote to its standard output and standard error, over all starts. Inside this process it has
    /// no log of its own.
    pub fn log(&self) -> String {
        match &self.engine {
            Engine::Process(process) | Engine::Worker(process, _) => {
                process.log() + &self.others.as_ref().map(Others::logs).unwrap_or_default()
            }
            Engine::Inside(_) => String::new(),
        }
    }

    /// The process, to be treated as such.
    ///
    /// # Panics
    /// If it is this very process.
    pub fn process(&mut self) -> &mut Process {
        match &mut self.engine {
            Engine::Process(process) | Engine::Worker(process, _) => process,
            Engine::Inside(_) => panic!("the relay runs inside this process"),
        }
    }

    /// Starts it and waits until it listens. It may find another port than before.
    pub async fn start_again(&mut self) {
        let before = self.listen().await;
        if matches!(self.engine, Engine::Worker(..)) || self.others.is_some() {
            let token = match before {
                // A session outlives the process.
                Some(before) => before.token,
                None => self.session().await,
            };
            self.server.as_mut().expect("just now").token = token;
        }
    }

    /// Gives what was known of it when it ran before.
    async fn listen(&mut self) -> Option<Server> {
        let file = self.data.join("server.json");
        let _ = std::fs::remove_file(&file);
        let before = self.server.take();
        let pid = match &mut self.engine {
            Engine::Process(process) => process.start(),
            Engine::Inside(inside) => inside.start(),
            Engine::Worker(process, launch) => {
                if let (None, Some(redis)) = (&self.front, &self.redis) {
                    self.front = Some(Front::start(redis).await);
                }
                launch.configure(self.front.as_ref());
                process.start()
            }
        };
        self.server = Some(self.announced(&file, pid).await);
        self.others_listen().await;
        before
    }

    /// What a process says of itself once it listens.
    async fn announced(&mut self, file: &Path, pid: u32) -> Server {
        let deadline = tokio::time::Instant::now() + START;
        loop {
            if let Some(server) = read_server(file, pid) {
                return server;
            }
            if let Some(end) = self.ended() {
                panic!("the relay ended ({end}) before it listened:\n{}", self.log_tail());
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "the relay wrote no {} within {START:?}:\n{}",
                file.display(),
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The other processes of a cluster, once the first has made what all need.
    async fn others_listen(&mut self) {
        let first = self.data.clone();
        let Some(others) = &mut self.others else { return };
        let started = others.start(&first);
        let files: Vec<_> = others
            .members()
            .iter()
            .map(|member| member.data.join("server.json"))
            .collect();
        let mut urls = Vec::new();
        for (file, pid) in files.iter().zip(started) {
            urls.push(self.announced(file, pid).await.url);
        }
        let members = self.others.iter_mut().flat_map(Others::members);
        for (member, url) in members.zip(urls) {
            member.url = url;
        }
    }

    /// Where each of its processes listens.
    pub fn urls(&self) -> Vec<String> {
        let others = self.others.iter().flat_map(Others::urls);
        std::iter::once(self.url())
            .chain(others)
            .map(str::to_owned)
            .collect()
    }

    /// A client that asks each process in turn.
    fn of_all(&self, path: &str) -> Client {
        let urls: Vec<_> = self.urls().iter().map(|url| format!("{url}{path}")).collect();
        Client::of_all(urls.iter().map(String::as_str))
    }

    /// One of the other processes of a cluster, from 0.
    ///
    /// # Panics
    /// If there is none.
    pub fn other(&mut self, number: usize) -> &mut Process {
        let others = self.others.as_mut().expect("a cluster");
        &mut others.members()[number].process
    }

    /// Starts one of the other processes of a cluster again, from 0. It may find another port than before.
    pub async fn start_other(&mut self, number: usize) {
        let first = self.data.clone();
        let member = |others: &mut Option<Others>| -> (u32, PathBuf) {
            let others = others.as_mut().expect("a cluster");
            others.members()[number].start(&first)
        };
        let (pid, file) = member(&mut self.others);
        let url = self.announced(&file, pid).await.url;
        if let Some(others) = &mut self.others {
            others.members()[number].url = url;
        }
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> Option<String> {
        match &mut self.engine {
            Engine::Process(process) | Engine::Worker(process, _) => {
                process.exited().map(|status| status.to_string())
            }
            Engine::Inside(inside) => inside.ended(),
        }
    }

    fn log_tail(&self) -> String {
        match &self.engine {
            Engine::Process(process) | Engine::Worker(process, _) => process.log_tail(),
            Engine::Inside(_) => String::new(),
        }
    }

    /// Starts the process and waits for it to end by itself: for set-ups it must refuse. Returns its exit
    /// code, and what it said.
    pub async fn refuses_to_start(&mut self) -> (Option<i32>, String) {
        let process = self.process();
        process.start();
        let status = process.ends(START).await;
        (status.code(), self.log())
    }

    /// Kills it without warning, as a crash would.
    pub async fn kill9(&mut self) {
        if let Some(others) = &mut self.others {
            others.kill9();
        }
        let process = self.process();
        process.kill9();
        process.ends(START).await;
    }

    /// Terminates the other processes of a cluster and waits for their exit; does nothing without a cluster.
    pub async fn terminate_others(&mut self) {
        for member in self.others.iter_mut().flat_map(Others::members) {
            member.process.terminate();
            member.process.ends(START).await;
        }
    }

    /// Terminates it and waits for its exit. Returns its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.terminate_others().await;
        match &mut self.engine {
            Engine::Process(process) | Engine::Worker(process, _) => {
                process.terminate();
                process.ends(START).await.code()
            }
            Engine::Inside(inside) => Some(inside.end(START).await),
        }
    }

    /// Ends it politely and starts it again on the same data.
    pub async fn restart(&mut self) {
        self.terminate().await;
        self.start_again().await;
    }

    /// Runs the program with these arguments and the relay's environment, to its end.
    pub async fn cli(&self, args: &[&str]) -> Output {
        let Engine::Process(process) = &self.engine else {
            panic!("this relay has no program")
        };
        let mut command = tokio::process::Command::from(process.command());
        command
            .args(args)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let what = format!("the end of `crs {}`", args.join(" "));
        within(START, &what, command.output())
            .await
            .expect("the program runs")
    }

    /// Runs the program with these arguments and the relay's environment, and kills it after this long if it has not
    /// ended.
    pub async fn cli_killed_after(&self, args: &[&str], limit: Duration) {
        let Engine::Process(process) = &self.engine else {
            panic!("this relay has no program")
        };
        let mut command = tokio::process::Command::from(process.command());
        command
            .args(args)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the program runs");
        if tokio::time::timeout(limit, child.wait()).await.is_err() {
            child.kill().await.expect("the program ends");
        }
    }

    /// Starts the program with these arguments and the relay's environment; it is killed when the value is dropped.
    pub fn cli_begun(&self, args: &[&str]) -> Process {
        let Engine::Process(process) = &self.engine else {
            panic!("this relay has no program")
        };
        let mut begun = process.beside(args, self.data().join("begun.log"));
        begun.start();
        begun
    }

    /// The admin login of the first run: name and password.
    pub fn first_login(&self) -> (String, String) {
        if let Engine::Worker(_, launch) = &self.engine {
            return launch.login();
        }
        let path = self.data.join("init.json");
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("no {}: {e}\n{}", path.display(), self.log_tail()));
        let init: Value = serde_json::from_str(&text).expect("init.json is JSON");
        let field = |name: &str| init[name].as_str().expect("a field of init.json").to_owned();
        (field("adminUsername"), field("adminPassword"))
    }

    /// A client of the admin API with the token of the local command line; on the Worker, with that of a
    /// session.
    pub fn admin(&self) -> Client {
        self.of_all("").with_bearer(&self.server().token)
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        let mut client = Client::new(self.url());
        if let Engine::Worker(..) = self.engine {
            client = client.with_bearer(worker::METRICS_TOKEN);
        }
        client.get("/metrics").await.good().raw_text()
    }

    /// A client of the admin API that logged in with name and password.
    pub async fn login(&self) -> Client {
        self.of_all("").with_bearer(&self.session().await)
    }

    /// The token of admin API clients: in a cluster that of a session, which all processes accept.
    pub fn token(&self) -> &str {
        &self.server().token
    }

    /// The token of a new session.
    async fn session(&self) -> String {
        let (username, password) = self.first_login();
        let body = json!({"username": username, "password": password});
        let answer = Client::new(self.url()).post("/web/auth/login", &body).await;
        assert_eq!(
            answer.status,
            200,
            "no admin session: {}\n{}",
            answer.raw_text(),
            self.log_tail()
        );
        let answer = answer.json();
        assert_eq!(answer["success"], true, "{answer}");
        answer["token"].as_str().expect("a token").to_owned()
    }
}

fn read_server(file: &Path, pid: u32) -> Option<Server> {
    let value: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    // The file of an earlier run would lie.
    (value["pid"].as_u64() == Some(u64::from(pid))).then_some(())?;
    let url = value["url"].as_str()?.trim_end_matches('/').to_owned();
    Some(Server {
        url,
        second: value["second"].as_str().map(str::to_owned),
        control: value["control"].as_str().map(str::to_owned),
        // Of the Worker's two processes it is workerd that serves.
        pid: value["workerd"].as_u64().map_or(pid, |id| id as u32),
        token: value["token"].as_str().unwrap_or_default().to_owned(),
    })
}
