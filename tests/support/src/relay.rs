//! The relay as a user has it: a process with a data folder, an address, a log, and an admin.
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
//! The process is killed by its id on drop, and its log shown when a wait for it fails.

mod process;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::provider::{FakeProvider, Tokens};
use crate::within;

pub use process::{Process, cpu_micros, rss_kib};

/// Longest wait for the relay to listen or to end.
const START: Duration = Duration::from_secs(30);

/// How a relay is to be started.
#[derive(Debug)]
pub struct Setup {
    program: PathBuf,
    env: Vec<(String, String)>,
    data: Option<PathBuf>,
}

impl Setup {
    /// Sets a variable of the process; an empty environment is what it starts from.
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.into(), value.to_string()));
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

    /// Starts the relay and waits until it listens.
    pub async fn start(self) -> Relay {
        let mut relay = self.prepare();
        relay.start_again().await;
        relay
    }

    /// Makes the folders, and starts nothing.
    pub fn prepare(self) -> Relay {
        let home = tempfile::Builder::new()
            .prefix("crs-test-")
            .tempdir()
            .expect("a temporary folder");
        let data = self.data.unwrap_or_else(|| home.path().join("data"));
        std::fs::create_dir_all(&data).expect("the data folder");
        let mut env = vec![
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
            ("HOME".to_owned(), home.path().display().to_string()),
            ("HOST".to_owned(), "127.0.0.1".to_owned()),
            ("PORT".to_owned(), "0".to_owned()),
            ("DATA_DIR".to_owned(), data.display().to_string()),
            ("RUST_BACKTRACE".to_owned(), "1".to_owned()),
        ];
        for (name, value) in self.env {
            env.retain(|(n, _)| *n != name);
            env.push((name, value));
        }
        let log = home.path().join("relay.log");
        let process = Process::new(self.program, env, home.path().to_path_buf(), log);
        Relay {
            process,
            data,
            server: None,
            _home: home,
        }
    }
}

/// A relay in a process of its own.
pub struct Relay {
    process: Process,
    data: PathBuf,
    server: Option<Server>,
    _home: TempDir,
}

/// What the relay writes to `server.json` once it listens.
#[derive(Clone, Debug)]
struct Server {
    url: String,
    token: String,
}

/// A key of the relay, as its maker sees it.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    /// What clients show.
    pub secret: String,
    /// The whole answer of the admin API.
    pub record: Value,
}

impl Relay {
    /// A relay of this program, such as `env!("CARGO_BIN_EXE_crs")`.
    pub fn at(program: impl Into<PathBuf>) -> Setup {
        Setup {
            program: program.into(),
            env: Vec::new(),
            data: None,
        }
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

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// All it wrote to its standard output and standard error, over all starts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts the process and waits until it listens. It may find another port than before.
    pub async fn start_again(&mut self) {
        let file = self.data.join("server.json");
        let _ = std::fs::remove_file(&file);
        self.server = None;
        let pid = self.process.start();
        let deadline = tokio::time::Instant::now() + START;
        loop {
            if let Some(server) = read_server(&file, pid) {
                self.server = Some(server);
                return;
            }
            if let Some(status) = self.process.exited() {
                panic!(
                    "the relay ended ({status}) before it listened:\n{}",
                    self.process.log_tail()
                );
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "the relay wrote no {} within {START:?}:\n{}",
                file.display(),
                self.process.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts the process and waits for it to end by itself: for set-ups it must refuse. Returns its exit
    /// code, and what it said.
    pub async fn refuses_to_start(&mut self) -> (Option<i32>, String) {
        self.process.start();
        let status = self.process.ends(START).await;
        (status.code(), self.log())
    }

    /// Kills it without warning, as a crash would.
    pub async fn kill9(&mut self) {
        self.process.kill9();
        self.process.ends(START).await;
    }

    /// Asks it to end and waits until it has. Returns its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.process.terminate();
        self.process.ends(START).await.code()
    }

    /// Ends it politely and starts it again on the same data.
    pub async fn restart(&mut self) {
        self.terminate().await;
        self.start_again().await;
    }

    /// Runs the program with these arguments and the relay's environment, to its end.
    pub async fn cli(&self, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(self.process.command());
        command
            .args(args)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let what = format!("the end of `crs {}`", args.join(" "));
        within(START, &what, command.output())
            .await
            .expect("the program runs")
    }

    /// The admin login of the first run: name and password.
    pub fn first_login(&self) -> (String, String) {
        let path = self.data.join("init.json");
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("no {}: {e}\n{}", path.display(), self.process.log_tail()));
        let init: Value = serde_json::from_str(&text).expect("init.json is JSON");
        let field = |name: &str| init[name].as_str().expect("a field of init.json").to_owned();
        (field("adminUsername"), field("adminPassword"))
    }

    /// A client of the admin API with the token of the local command line.
    pub fn admin(&self) -> Client {
        Client::new(self.url()).with_bearer(&self.server().token)
    }

    /// A client of the admin API that logged in with name and password.
    pub async fn login(&self) -> Client {
        let (username, password) = self.first_login();
        let body = json!({"username": username, "password": password});
        let answer = Client::new(self.url())
            .post("/web/auth/login", &body)
            .await
            .expect(200)
            .json();
        assert_eq!(answer["success"], true, "{answer}");
        Client::new(self.url()).with_bearer(answer["token"].as_str().expect("a token"))
    }

    /// Adds an account from the whole body of `POST /admin/accounts`; returns the account.
    pub async fn add_account(&self, account: &Value) -> Value {
        let added = self
            .admin()
            .post("/admin/accounts", account)
            .await
            .expect(201)
            .json();
        unwrapped(added)
    }

    /// Adds an Anthropic account with a key; returns its id.
    pub async fn claude_account(&self, name: &str, api_key: &str) -> String {
        let account = json!({
            "name": name,
            "platform": "claude",
            "credentials": {"type": "apiKey", "apiKey": api_key},
        });
        id(&self.add_account(&account).await)
    }

    /// Adds an Anthropic account with tokens that expire at a moment in milliseconds since 1970; returns
    /// its id.
    pub async fn claude_oauth_account(&self, name: &str, tokens: &Tokens, expires_at: u64) -> String {
        let account = json!({
            "name": name,
            "platform": "claude",
            "credentials": {
                "type": "oauth",
                "accessToken": tokens.access,
                "refreshToken": tokens.refresh,
                "expiresAt": expires_at,
            },
        });
        id(&self.add_account(&account).await)
    }

    /// Creates a key from the whole body of `POST /admin/api-keys`.
    pub async fn create_key(&self, key: &Value) -> Key {
        let record = unwrapped(self.admin().post("/admin/api-keys", key).await.expect(201).json());
        let secret = record["key"]
            .as_str()
            .unwrap_or_else(|| panic!("no key in {record}"))
            .to_owned();
        Key {
            id: id(&record),
            secret,
            record,
        }
    }

    /// A key to be created, without limits so far.
    pub fn key(&self, name: &str) -> NewKey<'_> {
        NewKey {
            relay: self,
            body: json!({"name": name}),
        }
    }

    /// A client of the Anthropic API that shows this key.
    pub fn client(&self, secret: &str) -> Client {
        Client::new(&self.api()).with_key(secret)
    }
}

/// A key that was not created yet.
pub struct NewKey<'a> {
    relay: &'a Relay,
    body: Value,
}

impl NewKey<'_> {
    /// Sets a field, such as `concurrencyLimit`.
    pub fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body[field] = value.into();
        self
    }

    pub async fn create(self) -> Key {
        self.relay.create_key(&self.body).await
    }
}

/// The record itself, where an answer wraps it as `{"success":true,"data":{..}}`.
fn unwrapped(answer: Value) -> Value {
    match answer.get("data") {
        Some(data) if data.is_object() => data.clone(),
        _ => answer,
    }
}

fn id(record: &Value) -> String {
    record["id"]
        .as_str()
        .unwrap_or_else(|| panic!("no id in {record}"))
        .to_owned()
}

fn read_server(file: &Path, pid: u32) -> Option<Server> {
    let value: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    // The file of an earlier run would lie.
    (value["pid"].as_u64() == Some(u64::from(pid))).then_some(())?;
    let field = |name: &str| {
        value[name]
            .as_str()
            .map(|text| text.trim_end_matches('/').to_owned())
    };
    Some(Server {
        url: field("url")?,
        token: field("token")?,
    })
}
