//! Taking over a claude-relay-service: its keys keep working with their limits, its figures are here to the
//! micro-dollar, nothing there has changed, and a run that was cut off is brought to its end by the next.

mod clients;

use std::time::Duration;

use crs_support::client::Client;
use crs_support::crs::{Crs, CrsKey, Edition, dump};
use crs_support::eventually;
use crs_support::provider::{FakeProvider, Script};
use crs_support::redis_server::RedisServer;
use crs_support::relay::{Process, Relay};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::setup;

const ENCRYPTION_KEY: &str = "9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d-and-longer#than-32";

/// The database of the CRS.
const DATABASE: u32 = 3;

struct Old {
    redis: RedisServer,
    crs: Crs,
    env: tempfile::NamedTempFile,
}

fn old(edition: Edition, provider: &FakeProvider) -> Old {
    Old::of(Crs::full(edition, ENCRYPTION_KEY, &provider.url()))
}

impl Old {
    fn of(crs: Crs) -> Self {
        let redis = RedisServer::start();
        crs.load(&redis, DATABASE);
        let env = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(env.path(), crs.env_file(&redis, DATABASE)).unwrap();
        Self { redis, crs, env }
    }

    fn key(&self, at: usize) -> &CrsKey {
        &self.crs.keys[at]
    }

    /// Runs `crs import` with these arguments; its report.
    async fn import(&self, relay: &Relay, args: &[&str]) -> Value {
        let mut all = vec!["import", "--json", "--env", self.env.path().to_str().unwrap()];
        all.extend(args);
        let output = relay.cli(&all).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        for secret in [
            "sk-ant-from-crs",
            "at-current",
            "rt-current",
            "cr_",
            ENCRYPTION_KEY,
        ] {
            assert!(secret == "cr_" || !text.contains(secret), "{text}");
        }
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

fn remark<'a>(report: &'a Value, matter: &str, what: &str) -> Vec<&'a str> {
    let all = report["remarks"].as_array().unwrap();
    let found = all
        .iter()
        .filter(|remark| remark["matter"] == matter && remark["what"].as_str().unwrap().contains(what));
    found
        .flat_map(|remark| remark["names"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect()
}

async fn shown(admin: &Client, id: &str) -> Value {
    admin.get(&format!("/admin/api-keys/{id}")).await.good().json()
}

#[tokio::test]
async fn old_keys_work_with_their_limits_and_nothing_there_changes() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::message("hello"));
    let old = old(Edition::Fork, &provider);
    let before = dump(&old.redis, DATABASE);
    let mut relay = setup().provider(&provider).prepare();

    let rehearsed = old.import(&relay, &["--dry-run"]).await;
    assert_eq!(rehearsed["mode"], "rehearsal");
    assert!(
        !relay.data().join("crs.redb").exists(),
        "a rehearsal writes nothing"
    );
    let copied = old.import(&relay, &[]).await;
    for kind in ["keys", "accounts", "groups"] {
        assert_eq!(
            copied[kind], rehearsed[kind],
            "{kind}: a rehearsal says what a copy does"
        );
    }
    assert_eq!(copied["keys"]["created"], 24);
    let again = old.import(&relay, &[]).await;
    assert_eq!(
        (&again["keys"]["created"], &again["keys"]["unchanged"]),
        (&0.into(), &24.into())
    );
    assert_eq!(again["sums"]["created"], 0);
    let proof = old.import(&relay, &["--verify"]).await;
    assert_eq!(
        (&proof["keys"]["different"], &proof["sums"]["different"]),
        (&0.into(), &0.into())
    );
    assert!(proof["secretsCompared"].as_u64().unwrap() >= 5);
    assert_eq!(proof["secretsDifferent"], 0);
    assert_eq!(dump(&old.redis, DATABASE), before, "the CRS is as it was");

    // What had no home made its record inactive.
    let names = remark(&copied, "inactive", "");
    for name in [
        "droid only",
        "bound to nobody",
        "droid client",
        "of a user",
        "bedrock",
        "unreadable end",
        Crs::ODD_PROXY,
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(
        copied["homeless"]["CCR accounts"] == 1 && copied["homeless"]["users"] == 1,
        "{copied}"
    );
    let kept = std::fs::read_to_string(relay.data().join("crs-import-kept.jsonl")).unwrap();
    assert!(kept.contains("webhook_config:default") && kept.contains("droid:account:"));

    relay.start_again().await;
    let call = async |at: usize| relay.client(&old.key(at).secret).messages("hi").send().await;
    call(0).await.good();
    let request = provider.wait_for(1).await.remove(0);
    assert_eq!(request.header("x-api-key"), Some("sk-ant-from-crs"));
    // Its total limit was spent there to the last micro-dollar.
    assert_eq!(call(1).await.status, 429);
    call(2).await.good();
    call(2).await.good();
    assert_eq!(call(2).await.status, 429, "two requests a window");
    call(3).await.good();
    for refused in [4, 6, 9, 10, 11, 15, 19, 21, 22] {
        let answer = call(refused).await;
        assert!(
            matches!(answer.status, 401 | 403),
            "key {refused}: {}",
            answer.status
        );
    }
    call(14).await.good();
    for stranger in ["cr_0000000000", "cr_nobody", &"cr_".repeat(100)] {
        assert_eq!(relay.client(stranger).messages("hi").send().await.status, 401);
    }

    let admin = relay.admin();
    let plain = shown(&admin, &old.key(0).id).await;
    assert_eq!(plain["tags"], serde_json::json!(["团队", "a,b"]));
    let unused = shown(&admin, &old.key(7).id).await;
    assert_eq!(
        (&unused["activationDays"], &unused["activationUnit"]),
        (&30.into(), &"hours".into())
    );
    let all = admin.get("/admin/accounts?pageSize=100").await.good().json();
    let accounts = all["items"].as_array().unwrap();
    let account = |id: &str| accounts.iter().find(|account| account["id"] == id).unwrap();
    assert_eq!(
        account(Crs::CONSOLE)["isActive"],
        true,
        "its machinery had stopped it"
    );
    assert_eq!(
        account(Crs::LOGIN)["schedulable"],
        false,
        "the operator had paused it"
    );
    assert_eq!(account(Crs::ODD_PROXY)["isActive"], false);
    let bedrock = account(Crs::BEDROCK);
    assert_eq!(
        bedrock["credentials"],
        serde_json::json!({
            "type": "accessKeys", "accessKeyId": "AKIAIOSFODNN7EXAMPLE", "region": "eu-west-1",
            "baseUrl": "https://bedrock-runtime.eu-west-1.amazonaws.com", "hasSessionToken": false,
        })
    );
    assert_eq!(
        (&bedrock["platform"], &bedrock["shared"]),
        (&"claude".into(), &false.into())
    );
}

#[tokio::test]
async fn figures_agree_to_the_micro_dollar() {
    let provider = FakeProvider::start().await;
    for edition in [Edition::Fork, Edition::Upstream] {
        let old = old(edition, &provider);
        let mut relay = setup().provider(&provider).prepare();
        let report = old.import(&relay, &[]).await;
        let spent: u64 = old.crs.keys.iter().map(|key| key.spent).sum();
        assert_eq!(report["spent"], spent, "{edition:?}");
        relay.start_again().await;
        let stranger = Client::new(relay.url());
        // What its statistics page shows the owner of a key.
        for key in &old.crs.keys[..2] {
            let body = serde_json::json!({ "apiKey": key.secret });
            let own = stranger
                .post("/apiStats/api/user-stats", &body)
                .await
                .good()
                .json();
            assert_eq!(own["data"]["id"], key.id.as_str(), "{own}");
            let cost = own["data"]["usage"]["total"]["cost"].as_f64().unwrap();
            assert_eq!((cost * 1e6).round() as u64, key.spent, "{own}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_writes_nothing() {
    let provider = FakeProvider::start().await;
    let old = old(Edition::Upstream, &provider);
    let text = std::fs::read_to_string(old.env.path()).unwrap();
    std::fs::write(old.env.path(), text.replace(ENCRYPTION_KEY, "another-key")).unwrap();
    let relay = setup().prepare();
    let output = relay
        .cli(&["import", "--env", old.env.path().to_str().unwrap()])
        .await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("ENCRYPTION_KEY") && said.contains("Nothing was written"),
        "{said}"
    );
    let keys = relay.cli(&["key", "list", "--json"]).await;
    assert_eq!(String::from_utf8(keys.stdout).unwrap().trim(), "[]");
}

#[tokio::test]
async fn logins_are_idle_until_they_are_taken_over() {
    let provider = FakeProvider::start().await;
    let old = old(Edition::Fork, &provider);
    let relay = setup().provider(&provider).prepare();
    let report = old.import(&relay, &[]).await;
    assert!(report["idleLogins"].as_u64().unwrap() >= 4, "{report}");
    assert!(
        report["neededVariables"]
            .as_array()
            .unwrap()
            .iter()
            .any(|name| name == "CLAUDE_OAUTH_CLIENT_ID"),
        "{report}"
    );
    let schedulable = async || {
        let output = relay.cli(&["account", "list", "--json"]).await;
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = all.as_array().unwrap().clone();
        let gemini = all
            .into_iter()
            .find(|account| account["id"] == Crs::GEMINI)
            .unwrap();
        gemini["schedulable"].as_bool().unwrap()
    };
    assert!(!schedulable().await);
    let report = old.import(&relay, &["--take-over"]).await;
    assert_eq!(report["idleLogins"], 0, "{report}");
    assert!(schedulable().await);
    // A later run does not take them back.
    old.import(&relay, &[]).await;
    assert!(schedulable().await);
}

#[tokio::test]
async fn a_run_that_was_killed_is_brought_to_its_end_by_the_next() {
    let provider = FakeProvider::start().await;
    let mut old = old(Edition::Fork, &provider);
    for number in 0..600 {
        let key = old.crs.key(&format!("many {number}"), &[("dailyCostLimit", "5")]);
        old.crs.spend(&key.id, "claude-sonnet-4-5", 1, 1_000 + number);
    }
    old.crs.load(&old.redis, 4);
    std::fs::write(old.env.path(), old.crs.env_file(&old.redis, 4)).unwrap();
    let relay = setup().provider(&provider).prepare();
    for round in 1..=8_u64 {
        let args = ["import", "--env", old.env.path().to_str().unwrap()];
        relay
            .cli_killed_after(&args, Duration::from_millis(40 * round))
            .await;
    }
    let report = old.import(&relay, &[]).await;
    let keys = &report["keys"];
    let number = |name: &str| keys[name].as_u64().unwrap();
    assert_eq!(number("created") + number("unchanged"), 624, "{keys}");
    let proof = old.import(&relay, &["--verify"]).await;
    for kind in ["keys", "accounts", "sums"] {
        assert_eq!(proof[kind]["different"], 0, "{kind}: {proof}");
    }
}

#[tokio::test]
async fn the_env_file_of_a_crs_is_safe_and_explained() {
    let provider = FakeProvider::start().await;
    let old = old(Edition::Fork, &provider);
    let before = dump(&old.redis, DATABASE);
    let mut relay = setup().prepare();
    let folder = tempfile::tempdir().unwrap();
    // What is set in the environment wins, so the relay of this test has its own store only where nothing names one.
    let text = std::fs::read_to_string(old.env.path()).unwrap();
    let good = text
        .replace(ENCRYPTION_KEY, "0123456789abcdef0123456789abcdef")
        .replace("JWT_SECRET=short", "");
    std::fs::write(folder.path().join(".env"), good).unwrap();
    let run = async |relay: &mut Relay, args: &[&str]| {
        let mut command = tokio::process::Command::from(relay.process().command());
        command
            .args(args)
            .current_dir(folder.path())
            .env("DATA_DIR", folder.path().join("data"));
        for name in ["REDIS_URL", "STORE"] {
            command.env_remove(name);
        }
        command.kill_on_drop(true).output().await.unwrap()
    };
    let checked = run(&mut relay, &["check-config"]).await;
    let said = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{said}");
    assert!(
        said.contains("redis 127.0.0.1") && said.contains("ENABLE_CORS") && said.contains("CONSOLE_ORIGIN"),
        "{said}"
    );
    assert!(said.contains("LDAP_ENABLED"), "{said}");
    let started = run(&mut relay, &["serve"]).await;
    let said = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.status.code(), Some(2), "{said}");
    assert!(
        said.contains("claude-relay-service") && said.contains("REDIS_DB"),
        "{said}"
    );
    assert_eq!(dump(&old.redis, DATABASE), before);
}

#[tokio::test]
async fn the_database_of_a_crs_is_no_store() {
    let provider = FakeProvider::start().await;
    let old = old(Edition::Fork, &provider);
    let before = dump(&old.redis, DATABASE);
    let mut relay = setup()
        .env("STORE", "redis")
        .env("REDIS_URL", old.redis.url(DATABASE))
        .prepare();
    let (code, said) = relay.refuses_to_start().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("claude-relay-service") && said.contains("REDIS_DB") && said.contains("crs import"),
        "{said}"
    );
    assert_eq!(dump(&old.redis, DATABASE), before);
}

/// What is between the import and the CRS's Redis, and what it does to those who read.
#[derive(Clone, Copy)]
enum Line {
    /// Ends each connection after so many bytes of answers.
    CutAfter(usize),
    /// Answers everything with something that is not Redis's protocol.
    Babbles,
    /// Ends each connection at once.
    Closes,
}

/// A port of this machine in front of a Redis, until it is dropped.
struct BadLine {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl BadLine {
    #[expect(clippy::disallowed_methods, reason = "a server beside the test")]
    async fn before(redis: &RedisServer, line: Line) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let there = redis.port();
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                match line {
                    Line::Closes => {}
                    Line::Babbles => drop(client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await),
                    Line::CutAfter(bytes) => {
                        let mut server = tokio::net::TcpStream::connect(("127.0.0.1", there))
                            .await
                            .unwrap();
                        let (mut from_client, mut to_client) = client.split();
                        let (mut from_server, mut to_server) = server.split();
                        let asked = tokio::io::copy(&mut from_client, &mut to_server);
                        let answered = async {
                            tokio::io::copy(&mut (&mut from_server).take(bytes as u64), &mut to_client).await
                        };
                        tokio::select! {
                            _ = asked => {}
                            _ = answered => {}
                        }
                    }
                }
            }
        });
        Self { port, task }
    }
}

impl Drop for BadLine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_line_that_breaks_is_told_and_what_came_is_not_lost() {
    let provider = FakeProvider::start().await;
    let old = old(Edition::Fork, &provider);
    let relay = setup().provider(&provider).prepare();
    let straight = std::fs::read_to_string(old.env.path()).unwrap();
    let mut lines = vec![Line::Closes, Line::Babbles];
    lines.extend((1..=6).map(|step| Line::CutAfter(step * step * 100)));
    let mut whole = 0;
    for &line in &lines {
        let bad = BadLine::before(&old.redis, line).await;
        let detour = straight.replace(
            &format!("REDIS_PORT={}", old.redis.port()),
            &format!("REDIS_PORT={}", bad.port),
        );
        std::fs::write(old.env.path(), detour).unwrap();
        let output = relay
            .cli(&["import", "--env", old.env.path().to_str().unwrap()])
            .await;
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            // All of it fitted through.
            Some(0) => whole += 1,
            code => {
                assert_eq!(code, Some(4), "{said}");
                assert!(said.contains("Redis") && !said.contains("panicked"), "{said}");
            }
        }
    }
    assert!(whole < lines.len() / 2, "{whole}");
    std::fs::write(old.env.path(), straight).unwrap();
    old.import(&relay, &[]).await;
    let proof = old.import(&relay, &["--verify"]).await;
    for kind in ["keys", "accounts", "sums"] {
        assert_eq!(proof[kind]["different"], 0, "{kind}: {proof}");
    }
}

#[tokio::test]
async fn what_is_of_another_type_is_named_and_the_rest_comes() {
    let provider = FakeProvider::start().await;
    let mut old = old(Edition::Fork, &provider);
    let whole = old.crs.key("whole", &[]);
    let odd = old.crs.key("odd", &[]);
    old.crs.load(&old.redis, 7);
    for (key, other) in [
        (format!("apikey:{}", odd.id), "text"),
        ("claude:account:broken".to_owned(), "text"),
        (format!("usage:{}", whole.id), "text"),
        ("account_group:broken".to_owned(), "text"),
        ("account_groups".to_owned(), "text"),
        ("oem:settings".to_owned(), "hash"),
    ] {
        old.redis.command(&["-n", "7", "DEL", &key]);
        match other {
            "hash" => old.redis.command(&["-n", "7", "HSET", &key, "a", "b"]),
            _ => old.redis.command(&["-n", "7", "SET", &key, "no such thing"]),
        };
    }
    std::fs::write(old.env.path(), old.crs.env_file(&old.redis, 7)).unwrap();
    let relay = setup().provider(&provider).prepare();
    let report = old.import(&relay, &[]).await;
    assert_eq!(report["keys"]["created"], 25, "all but the odd one: {report}");
    let named = remark(&report, "skipped", "another type");
    assert!(named.contains(&&*format!("apikey:{}", odd.id)), "{report}");
    assert!(named.contains(&"claude:account:broken"), "{report}");
    let keys = relay.cli(&["key", "list", "--json"]).await;
    assert!(String::from_utf8(keys.stdout).unwrap().contains("\"whole\""));
}

async fn says(process: &Process, words: &str) {
    let said = async || process.log().contains(words).then_some(());
    eventually(words, said).await;
}

#[tokio::test]
async fn what_changes_in_the_crs_is_followed_until_the_switch() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::message("hello"));
    let mut old = old(Edition::Fork, &provider);
    let mut relay = setup().provider(&provider).prepare();
    let env = old.env.path().to_str().unwrap().to_owned();
    let mut follower = relay.cli_begun(&["import", "--env", &env, "--follow", "1", "--take-over"]);
    says(&follower, "brought: 24 keys").await;
    let late = old.crs.key("came late", &[("dailyCostLimit", "5")]);
    let id = old.key(0).id.clone();
    old.crs
        .hash(&format!("apikey:{id}"), &[("name", "renamed meanwhile")]);
    old.crs.load(&old.redis, DATABASE);
    says(&follower, "brought: 2 keys").await;
    // A Redis that is away for a while ends nothing.
    old.redis.kill();
    says(&follower, "it is tried again in 1 s").await;
    old.redis.start_again();
    old.crs.load(&old.redis, DATABASE);
    says(&follower, "brought: 0 keys").await;
    follower.terminate();
    let ended = follower.ends(crs_support::PATIENCE).await;
    assert_eq!(ended.code(), Some(0), "{}", follower.log());
    relay.start_again().await;
    relay.client(&late.secret).messages("hi").send().await.good();
    let admin = relay.admin();
    assert_eq!(shown(&admin, &id).await["name"], "renamed meanwhile");
    let accounts = admin.get("/admin/accounts").await.good().json();
    let gemini = accounts["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == Crs::GEMINI);
    assert_eq!(
        gemini.unwrap()["schedulable"],
        true,
        "the last round took the logins over"
    );
}
