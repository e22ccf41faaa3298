//! Backups of a relay that works, restored and moved by the command line, and what is refused.

use std::path::Path;
use std::process::Stdio;

use crs_support::client::Client;
use crs_support::provider::FakeProvider;
use crs_support::redis_server::RedisServer;
use crs_support::relay::{Host, Relay, Setup};
use crs_support::upstash::UpstashFront;
use serde_json::Value;

use super::HOST;
use super::support::{ACCOUNT_KEY, Ready, entries, ready_with, relay};

/// Keys of the relay and of the data: the same wherever the data goes.
const SECRETS: [(&str, &str); 2] = [
    ("JWT_SECRET", "kq8Zb1mVtY5cWx0Rg7Lp3Nh9Sd2Fj6Ua"),
    ("ENCRYPTION_KEY", "Vx4Tg9Qm1Zr7Kc3Hd8Wb5Yn0Lp6Sf2Ja"),
];

fn with_secrets(setup: Setup) -> Setup {
    SECRETS
        .iter()
        .fold(setup, |setup, (name, value)| setup.env(name, value))
}

/// The result of a command.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn json(self) -> Value {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// What it said, which ended with this code.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert!(!self.err.contains(ACCOUNT_KEY));
        self.err
    }
}

async fn crs(relay: &mut Relay, args: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = tokio::process::Command::from(relay.process().command());
    let output = command
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let what = format!("the end of `crs {}`", args.join(" "));
    let output = crs_support::within(crs_support::PATIENCE, &what, output)
        .await
        .unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Calls without a pause, until it is dropped.
struct Load(tokio::task::JoinHandle<()>);

impl Load {
    #[expect(clippy::disallowed_methods, reason = "a client that calls beside the test")]
    fn on(client: &Client) -> Self {
        let client = client.clone();
        Self(tokio::spawn(async move {
            loop {
                client.messages("hi").send().await.good();
            }
        }))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The books of a relay that was restored from a backup made under load: they agree, and its old key and account work.
async fn serves(mut relay: Relay, secret: &str) {
    relay.start_again().await;
    let books = crs(&mut relay, &["ledger", "verify", "--days", "1", "--json"], &[])
        .await
        .json();
    assert_eq!(books["different"], 0, "{books}");
    assert!(books["days"][0]["events"].as_u64().unwrap() > 0, "{books}");
    relay.client(secret).messages("hi").send().await.good();
}

#[tokio::test]
async fn a_backup_under_load_is_restored_into_every_store() {
    let Ready {
        provider,
        mut relay,
        key,
        client,
    } = ready_with(with_secrets).await;
    client.messages("hi").send().await.good();
    entries(&relay, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crs.backup");
    let path = file.to_str().unwrap();
    let made = {
        let _load = [Load::on(&client), Load::on(&client), Load::on(&client)];
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        crs(&mut relay, &["backup", path, "--json"], &[]).await.json()
    };
    assert_eq!((&made["leftOut"], &made["sealed"]), (&0.into(), &false.into()));
    let found = crs(&mut relay, &["verify", path, "--json"], &[]).await.json();
    assert_eq!(found["digest"], made["digest"]);
    assert!(
        crs(&mut relay, &["backup", path], &[])
            .await
            .failed(2)
            .contains("already")
    );
    let told = crs(&mut relay, &["restore", path], &[]).await.failed(2);
    assert!(told.contains("a server runs"), "{told}");

    // Into a new embedded store.
    let mut target = with_secrets(Relay::at(env!("CARGO_BIN_EXE_crs")).provider(&provider)).prepare();
    let restored = crs(&mut target, &["restore", path, "--json"], &[]).await.json();
    assert_eq!(
        (&restored["digest"], &restored["records"]),
        (&made["digest"], &made["records"])
    );
    let told = crs(&mut target, &["restore", path], &[]).await.failed(2);
    assert!(told.contains("only an empty store"), "{told}");
    assert!(!target.data().join("restoring").exists());
    serves(target, &key.secret).await;

    // Into a Redis.
    let mut target = with_secrets(
        Relay::at(env!("CARGO_BIN_EXE_crs"))
            .with_redis()
            .provider(&provider),
    )
    .prepare();
    let restored = crs(&mut target, &["restore", path, "--json"], &[]).await.json();
    assert_eq!(restored["digest"], made["digest"]);
    crs(&mut target, &["restore", path], &[]).await.failed(2);
    serves(target, &key.secret).await;

    // Into Upstash.
    let redis = RedisServer::start();
    let front = UpstashFront::start(&redis).await;
    let mut target = with_secrets(Relay::at(env!("CARGO_BIN_EXE_crs")).provider(&provider))
        .env("UPSTASH_REDIS_REST_URL", front.url())
        .env("UPSTASH_REDIS_REST_TOKEN", front.token())
        .prepare();
    let restored = crs(&mut target, &["restore", path, "--json"], &[]).await.json();
    assert_eq!(restored["digest"], made["digest"]);
    serves(target, &key.secret).await;
}

#[tokio::test]
async fn a_store_moves_and_moves_back_and_is_proven_equal() {
    let Ready {
        provider,
        mut relay,
        key,
        client,
    } = ready_with(with_secrets).await;
    client.messages("hi").send().await.good();
    entries(&relay, 1).await;
    relay.terminate().await;
    let redis = RedisServer::start();
    let to = format!("redis://127.0.0.1:{}/5", redis.port());
    let password = [("REDIS_PASSWORD", redis.password())];
    let there = crs(&mut relay, &["move", "--to", &to, "--json"], &password)
        .await
        .json();
    assert_eq!(there["equal"], true);
    let told = crs(&mut relay, &["move", "--to", &to], &password).await.failed(2);
    assert!(told.contains("only an empty store"), "{told}");

    let mut moved = with_secrets(Relay::at(env!("CARGO_BIN_EXE_crs")).provider(&provider))
        .env("REDIS_URL", redis.url(5))
        .prepare();
    moved.start_again().await;
    moved.client(&key.secret).messages("hi").send().await.good();
    assert_eq!(entries(&moved, 2).await.len(), 2);
    moved.terminate().await;
    let back = crs(&mut moved, &["move", "--to", "embedded", "--json"], &[])
        .await
        .json();
    assert_eq!(back["equal"], true);
    let mut home = with_secrets(Relay::at(env!("CARGO_BIN_EXE_crs")).provider(&provider))
        .data(moved.data())
        .prepare();
    home.start_again().await;
    assert_eq!(entries(&home, 2).await.len(), 2);
    home.client(&key.secret).messages("hi").send().await.good();
    home.terminate().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_written() {
    let Ready {
        provider, mut relay, ..
    } = ready_with(with_secrets).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crs.backup");
    let path = file.to_str().unwrap();
    let secret = folder.path().join("passphrase");
    std::fs::write(&secret, "correct horse battery staple\n").unwrap();
    let sealed = [
        "backup",
        path,
        "--passphrase-file",
        secret.to_str().unwrap(),
        "--json",
    ];
    assert_eq!(crs(&mut relay, &sealed, &[]).await.json()["sealed"], true);
    let target = || with_secrets(Relay::at(env!("CARGO_BIN_EXE_crs")).provider(&provider));
    let untouched =
        |relay: &Relay| !relay.data().join("crs.redb").exists() && !relay.data().join("restoring").exists();

    let mut empty = target().prepare();
    let told = crs(&mut empty, &["restore", path], &[]).await.failed(2);
    assert!(told.contains("--passphrase-file"), "{told}");
    let wrong = [("BACKUP_PASSPHRASE", "correct horse battery stable")];
    let told = crs(&mut empty, &["restore", path], &wrong).await.failed(2);
    assert!(told.contains("the passphrase is not the one"), "{told}");
    let right = [("BACKUP_PASSPHRASE", "correct horse battery staple")];
    let key = [right[0], ("ENCRYPTION_KEY", "0123456789abcdefghijklmnopqrstuv")];
    let told = crs(&mut empty, &["restore", path], &key).await.failed(2);
    assert!(told.contains("ENCRYPTION_KEY is not the one"), "{told}");
    let none = [right[0], ("ENCRYPTION_KEY", "")];
    let told = crs(&mut empty, &["restore", path], &none).await.failed(2);
    assert!(told.contains("ENCRYPTION_KEY is missing"), "{told}");
    assert!(!empty.data().join("secrets.json").exists());

    let whole = std::fs::read(&file).unwrap();
    for (at, says) in [
        (whole.len() - 40, "cut off"),
        (whole.len() / 2, "cut off"),
        (3, "cut off"),
    ] {
        std::fs::write(&file, &whole[..at]).unwrap();
        let told = crs(&mut empty, &["restore", path], &right).await;
        let told = format!("{}{}", told.out, told.err);
        assert!(told.contains(says), "{at}: {told}");
    }
    let mut changed = whole.clone();
    changed[whole.len() - 100] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    let told = crs(&mut empty, &["verify", path], &right).await.failed(1);
    assert!(told.contains("damaged"), "{told}");
    crs(&mut empty, &["restore", path], &right).await.failed(2);
    assert!(untouched(&empty));
    std::fs::write(&file, &whole).unwrap();
    crs(&mut empty, &["restore", path, "--json"], &right).await.json();
}

/// Killed at many moments: there is no store, or a whole one, and a second run ends right.
#[tokio::test]
async fn a_restore_that_is_killed_leaves_no_half_store() {
    let Ready {
        provider,
        mut relay,
        key,
        client,
    } = ready_with(with_secrets).await;
    for _ in 0..30 {
        client.messages("hi").send().await.good();
    }
    entries(&relay, 30).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crs.backup");
    let path = file.to_str().unwrap();
    let made = crs(&mut relay, &["backup", path, "--json"], &[]).await.json();
    for redis in [false, true] {
        for round in 0..6_u32 {
            let setup = Relay::at(env!("CARGO_BIN_EXE_crs")).provider(&provider);
            let setup = if redis { setup.with_redis() } else { setup };
            let mut target = with_secrets(setup).prepare();
            let mut command = tokio::process::Command::from(target.process().command());
            let mut child = command
                .args(["restore", path])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(u64::from(round) * 12)).await;
            let _ = child.kill().await;
            let again = crs(&mut target, &["restore", path, "--json"], &[]).await;
            if again.code == Some(0) {
                assert_eq!(again.json()["digest"], made["digest"]);
            } else {
                // The first one was through before it was killed.
                assert_eq!(again.code, Some(2));
                let told = again.out + &again.err;
                assert!(
                    told.contains("only an empty store"),
                    "redis: {redis}, round {round}: {told}"
                );
            }
            if round == 3 {
                serves(target, &key.secret).await;
            }
        }
    }
}

#[tokio::test]
async fn a_half_restored_database_is_not_served() {
    let redis = RedisServer::start();
    redis.command(&[
        "SET",
        "crs:schema",
        r#"{"version":1,"by":"crs 0.1.0","unfinished":{"what":"restore","digest":"d"}}"#,
    ]);
    let provider = FakeProvider::start().await;
    let mut relay = with_secrets(relay(&provider))
        .env("REDIS_URL", redis.url(0))
        .env("STORE", "redis")
        .prepare();
    let (code, log) = relay.refuses_to_start().await;
    assert_ne!(code, Some(0));
    assert!(log.contains("crs restore"), "{log}");
    redis.command(&["SET", "crs:schema", r#"{"version":9,"by":"crs 9.1.0"}"#]);
    let (_, log) = relay.refuses_to_start().await;
    assert!(log.contains("use crs 9.1.0 or later"), "{log}");
    assert_eq!(redis.command(&["DBSIZE"]).trim(), "1");
    assert!(matches!(HOST, Host::Embedded | Host::Redis));
    assert!(!Path::new("crs.redb").exists());
}

/// Written by the release 0.1.0 before data named its version: one account, one key, three calls.
const RELEASE_0_1_0: &[u8] = include_bytes!("../fixtures/store-0.1.0.redb.gz");
const ITS_KEY: &str = "cr_a9ec1fd49d5749d17c18ac130f8af93165bab2bc645b2ecd57eb53fb1ab34e71";

#[tokio::test]
async fn a_store_that_an_earlier_release_wrote_is_read() {
    let provider = FakeProvider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut store = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(RELEASE_0_1_0), &mut store).unwrap();
    std::fs::write(data.join("crs.redb"), store).unwrap();
    let setup = with_secrets(Relay::at(env!("CARGO_BIN_EXE_crs")).provider(&provider));
    let relay = setup.data(&data).start().await;
    let keys = relay.admin().get("/admin/api-keys").await.good().json();
    assert_eq!(
        (&keys["items"][0]["name"], &keys["items"][0]["dailyCostLimit"]),
        (&"laptop".into(), &2.5.into())
    );
    let spent = keys["items"][0]["costTotal"].as_f64().unwrap();
    assert!(spent > 0.0, "{keys}");
    relay.client(ITS_KEY).messages("hi").send().await.good();
    let request = provider.wait_for(1).await.remove(0);
    assert_eq!(request.header("x-api-key"), Some("sk-ant-fixture-account"));
}

/// Killed at many moments, a change of the key ends right; old client keys and the accounts' secrets go on working.
#[tokio::test]
async fn everything_is_sealed_under_a_new_key() {
    const NEW: &str = "0123456789abcdefghijklmnopqrstuv";
    let Ready {
        provider,
        mut relay,
        key,
        client,
    } = ready_with(with_secrets).await;
    client.messages("hi").send().await.good();
    for n in 0..40 {
        relay
            .claude_account(&format!("more {n}"), &format!("sk-ant-more-{n}"))
            .await;
    }
    let told = crs(&mut relay, &["rekey"], &[("NEW_ENCRYPTION_KEY", NEW)])
        .await
        .failed(2);
    assert!(told.contains("a server runs"), "{told}");
    relay.terminate().await;
    let told = crs(&mut relay, &["rekey"], &[]).await.failed(2);
    assert!(told.contains("NEW_ENCRYPTION_KEY is not set"), "{told}");
    for round in 0..6_u64 {
        let mut command = tokio::process::Command::from(relay.process().command());
        let command = command.arg("rekey").env("NEW_ENCRYPTION_KEY", NEW);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(round * 8)).await;
        let _ = child.kill().await;
    }
    let done = crs(&mut relay, &["rekey", "--json"], &[("NEW_ENCRYPTION_KEY", NEW)])
        .await
        .json();
    assert_ne!(done["from"], done["to"]);
    let wrong = crs(&mut relay, &["key", "list"], &[]).await.failed(4);
    assert!(wrong.contains("ENCRYPTION_KEY is not the one"), "{wrong}");

    let setup = super::support::relay(&provider)
        .env("JWT_SECRET", SECRETS[0].1)
        .env("ENCRYPTION_KEY", NEW);
    let mut again = setup.data_of(&relay).prepare();
    again.start_again().await;
    let calls = provider.requests().len();
    again.client(&key.secret).messages("hi").send().await.good();
    let request = provider.wait_for(calls + 1).await.pop().unwrap();
    assert!(request.header("x-api-key").unwrap().starts_with("sk-ant-"));
    let fresh = again.key("fresh").create().await;
    again.client(&fresh.secret).messages("hi").send().await.good();
    again.terminate().await;
}
