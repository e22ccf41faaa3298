//! The launcher, with a shell script in the relay's place.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crs_support::relay::Relay;
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
