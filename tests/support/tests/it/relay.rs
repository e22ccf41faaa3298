//! The launcher, with a shell script in the relay's place.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crs_support::provider::{FakeProvider, GREETING, Route, Script};
use crs_support::relay::Relay;
use serde_json::json;
use tempfile::TempDir;

/// A program that says it listens, and then does as `more` says.
fn program(folder: &TempDir, more: &str) -> PathBuf {
    let path = folder.path().join("crs");
    let script = format!(
        "#!/bin/sh\necho \"start in $PWD as ${{X_TEST:-nobody}}, $(env | wc -l) variables\"\n\
         [ \"$1\" = say ] && {{ echo \"$2 $DATA_DIR\"; exit 3; }}\n{more}\n\
         echo '{{\"adminUsername\":\"boss\",\"adminPassword\":\"pw\"}}' > $DATA_DIR/init.json\n\
         echo '{{\"pid\":'$$',\"url\":\"http://127.0.0.1:1/\",\"token\":\"t\"}}' > $DATA_DIR/server.json\n\
         exec sleep 60\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn it_starts_with_a_clean_environment_and_starts_again() {
    let folder = TempDir::new().unwrap();
    let mut relay = Relay::at(program(&folder, "")).env("X_TEST", "me").start().await;
    assert_eq!(relay.url(), "http://127.0.0.1:1");
    assert_eq!(relay.api(), "http://127.0.0.1:1/api");
    assert_eq!(relay.first_login(), ("boss".into(), "pw".into()));
    assert!(relay.log().contains("as me,"), "{}", relay.log());
    let first = relay.process().id();
    relay.process().set_env("X_TEST", "you");
    relay.kill9().await;
    relay.start_again().await;
    let second = relay.process().id();
    assert_ne!(first, second);
    assert!(relay.log().contains("as you,"), "{}", relay.log());
    assert!(relay.process().rss_kib() > 0);
    relay.restart().await;
    assert_eq!(relay.terminate().await, None);
    let data = relay.data().to_path_buf();
    relay.start_again().await;
    let last = relay.process().id();
    drop(relay);
    assert!(!data.exists());
    assert!(!PathBuf::from(format!("/proc/{last}")).exists());
}

#[tokio::test]
async fn it_runs_the_program_to_its_end() {
    let folder = TempDir::new().unwrap();
    let relay = Relay::at(program(&folder, "")).prepare();
    let output = relay.cli(&["say", "hello"]).await;
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.ends_with(&format!("hello {}\n", relay.data().display())),
        "{said}"
    );
}

#[tokio::test]
async fn a_refusal_to_start_is_told() {
    let folder = TempDir::new().unwrap();
    let program = program(&folder, "echo 'JWT_SECRET is too short' >&2; exit 2");
    let (code, said) = Relay::at(&program).prepare().refuses_to_start().await;
    assert_eq!(code, Some(2));
    assert!(said.contains("JWT_SECRET is too short"));
}

#[tokio::test]
#[should_panic(expected = "JWT_SECRET is too short")]
async fn an_unexpected_end_shows_the_log() {
    let folder = TempDir::new().unwrap();
    Relay::at(program(&folder, "echo 'JWT_SECRET is too short' >&2; exit 2"))
        .start()
        .await;
}

#[tokio::test]
#[should_panic(expected = "before it listened")]
async fn the_file_of_an_earlier_run_is_not_believed() {
    let folder = TempDir::new().unwrap();
    let stale =
        "echo '{\"pid\":1,\"url\":\"http://127.0.0.1:1\",\"token\":\"t\"}' > $DATA_DIR/server.json; exit 0";
    Relay::at(program(&folder, stale)).start().await;
}

/// The admin verbs, with a scripted server in the relay's place: what they send is the admin API's
/// contract.
#[tokio::test]
async fn the_admin_verbs_speak_the_contract() {
    let folder = TempDir::new().unwrap();
    let provider = FakeProvider::start().await;
    let stub = program(&folder, "").display().to_string();
    let script = std::fs::read_to_string(&stub)
        .unwrap()
        .replace("http://127.0.0.1:1/", &provider.url());
    std::fs::write(&stub, script).unwrap();
    let relay = Relay::at(&stub).provider(&provider).start().await;
    let admin = provider.on(Route::Other);
    let last = || provider.requests().pop().unwrap();

    admin.next(Script::json(
        json!({"success": true, "token": "jwt", "expiresIn": 1, "username": "boss"}),
    ));
    admin.next(Script::json(json!([])));
    let boss = relay.login().await;
    assert_eq!(last().target, "/web/auth/login");
    assert_eq!(last().json(), json!({"username": "boss", "password": "pw"}));
    boss.get("/admin/accounts").await.good();
    assert_eq!(last().bearer(), Some("jwt"));

    admin.next(Script::json(json!({"id": "acc-1", "name": "first"})).status(201));
    assert_eq!(relay.claude_account("first", "sk-ant-first").await, "acc-1");
    assert_eq!(
        (last().method.as_str(), last().target.as_str()),
        ("POST", "/admin/accounts")
    );
    assert_eq!(last().bearer(), Some("t"));
    assert_eq!(
        last().json()["credentials"],
        json!({"type": "apiKey", "apiKey": "sk-ant-first"})
    );

    admin.next(Script::json(json!({"success": true, "data": {"id": "acc-2"}})).status(201));
    let tokens = provider.oauth().issue();
    assert_eq!(
        relay
            .claude_oauth_account("second", &tokens, 1_795_335_300_000)
            .await,
        "acc-2"
    );
    assert_eq!(last().json()["credentials"]["expiresAt"], 1_795_335_300_000_u64);

    admin.next(Script::json(json!({"id": "key-1", "key": "cr_1", "name": "laptop"})).status(201));
    let key = relay.key("laptop").set("concurrencyLimit", 2).create().await;
    assert_eq!((key.id.as_str(), key.secret.as_str()), ("key-1", "cr_1"));
    assert_eq!(last().json(), json!({"name": "laptop", "concurrencyLimit": 2}));

    let answer = relay
        .client(&key.secret)
        .messages("hi")
        .session("s-1")
        .stream()
        .send()
        .await
        .good();
    assert_eq!(answer.text(), GREETING);
    assert_eq!(last().target, "/api/v1/messages");
    assert_eq!(last().header("x-api-key"), Some("cr_1"));
}
