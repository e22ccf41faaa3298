//! The command line, run as people and scripts run it: with a server on the data folder, and without.

mod accounts;
mod admin;

use std::process::Stdio;

use crs_support::provider::{FakeProvider, Script};
use crs_support::relay::Relay;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::HOST;
use super::support::setup;

/// The result of a command.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// The output of a command that did what it was asked.
    #[track_caller]
    fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    fn json(self) -> Value {
        let out = self.done();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// What a command said that ended with this code.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self.err
    }
}

async fn crs(relay: &mut Relay, args: &[&str]) -> Ran {
    crs_with(relay, args, "").await
}

/// Runs a command with this on its standard input.
async fn crs_with(relay: &mut Relay, args: &[&str], stdin: &str) -> Ran {
    let mut command = tokio::process::Command::from(relay.process().command());
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // A command that reads nothing may be gone already.
    let _ = input.write_all(stdin.as_bytes()).await;
    drop(input);
    let what = format!("the end of `crs {}`", args.join(" "));
    let output = crs_support::within(crs_support::PATIENCE, &what, child.wait_with_output())
        .await
        .unwrap();
    let ran = Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    for secret in ["sk-ant-", "s3cret-token"] {
        assert!(
            !ran.out.contains(secret) && !ran.err.contains(secret),
            "{}{}",
            ran.out,
            ran.err
        );
    }
    ran
}

#[tokio::test]
async fn what_was_made_without_a_server_is_there_when_one_runs() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::message("hello"));
    let mut relay = setup().provider(&provider).prepare();

    let args = [
        "account",
        "add",
        "--name",
        "main",
        "--api-key-file",
        "-",
        "--json",
    ];
    let account = crs_with(&mut relay, &args, "sk-ant-main\n").await.json();
    assert_eq!(account["platform"], "claude");
    let create = "key create --name laptop --concurrency 3 --daily-cost 2.5 --monthly-cost 40 --window 60 --window-requests 100";
    let create: Vec<&str> = create.split(' ').collect();
    let key = crs(&mut relay, &create).await.done();
    let key = key.trim();
    assert!(
        key.starts_with("cr_") && !key.contains(char::is_whitespace),
        "{key}"
    );

    relay.start_again().await;
    let listed = crs(&mut relay, &["key", "list", "--json"]).await.json();
    assert_eq!(listed[0]["dailyCostLimit"], 2.5);
    assert_eq!(listed[0]["monthlyCostLimit"], 40.0);
    assert_eq!(listed[0]["rateLimitRequests"], 100);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        (&listed[0]["name"], &listed[0]["concurrencyLimit"]),
        (&"laptop".into(), &3.into())
    );
    relay.client(key).messages("hi").send().await.good();
    let request = provider.wait_for(1).await.remove(0);
    assert_eq!(request.header("x-api-key"), Some("sk-ant-main"));

    relay.terminate().await;
    let shown = crs(&mut relay, &["key", "show", "laptop"]).await.done();
    assert!(shown.contains("active") && shown.contains("0 of 3"), "{shown}");
    assert!(shown.contains("$40.00"), "{shown}");
    let forgiven = crs(&mut relay, &["key", "reset", "laptop", "month"]).await.done();
    assert!(forgiven.contains("$0.00 of $40.00"), "{forgiven}");
    let unknown = crs(&mut relay, &["key", "reset", "laptop", "year"]).await;
    assert_eq!(unknown.code, Some(2), "{}", unknown.err);
    assert!(unknown.err.contains("month"), "{}", unknown.err);
    assert!(!shown.contains(key), "{shown}");
}

#[tokio::test]
async fn a_running_server_obeys_at_once() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::message("hello"));
    let mut relay = setup().provider(&provider).start().await;
    relay.claude_account("main", "sk-ant-main").await;
    let key = crs(
        &mut relay,
        &["key", "create", "--name", "ci", "--tag", "bots", "--json"],
    )
    .await
    .json();
    let secret = key["key"].as_str().unwrap();
    relay.client(secret).messages("hi").send().await.good();

    crs(&mut relay, &["key", "disable", "ci"]).await.done();
    relay.client(secret).messages("hi").send().await.expect(401);
    let listed = crs(&mut relay, &["key", "list"]).await.done();
    assert!(listed.contains("disabled") && listed.contains("bots"), "{listed}");

    crs(&mut relay, &["key", "enable", key["id"].as_str().unwrap()])
        .await
        .done();
    relay.client(secret).messages("hi").send().await.good();
}

#[tokio::test]
async fn limits_are_set_as_they_are_said() {
    let mut relay = setup().prepare();
    let args = [
        "key",
        "create",
        "--name",
        "limited",
        "--expires",
        "2099-01-31",
        "--service",
        "claude",
        "--block-model",
        "claude-opus-4",
        "--block-model",
        "claude-x",
        "--json",
    ];
    let key = crs(&mut relay, &args).await.json();
    assert_eq!(key["expiresAt"], "2099-01-31T00:00:00.000Z");
    assert_eq!(key["permissions"], serde_json::json!(["claude"]));
    assert_eq!(key["enableModelRestriction"], true);
    assert_eq!(
        key["restrictedModels"],
        serde_json::json!(["claude-opus-4", "claude-x"])
    );
    let said = crs(&mut relay, &["key", "create", "--name", "x", "--expires", "soon"])
        .await
        .failed(2);
    assert!(said.contains("30d"), "{said}");
    let said = crs(
        &mut relay,
        &["key", "create", "--name", "x", "--service", "telnet"],
    )
    .await
    .failed(2);
    assert!(said.contains("permissions"), "{said}");
    assert_eq!(
        crs(&mut relay, &["key", "list", "--json"])
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn codes_tell_failures_apart() {
    let mut relay = setup().prepare();
    crs(&mut relay, &["key", "create"]).await.failed(2);
    crs(&mut relay, &["no-such-command"]).await.failed(2);
    let said = crs(&mut relay, &["key", "show", "nobody"]).await.failed(3);
    assert!(said.contains("nobody"), "{said}");
    crs(
        &mut relay,
        &["account", "test", "00000000-0000-7000-8000-000000000000"],
    )
    .await
    .failed(3);
    for _ in 0..2 {
        crs(&mut relay, &["key", "create", "--name", "twin"]).await.done();
    }
    let said = crs(&mut relay, &["key", "disable", "twin"]).await.failed(2);
    assert!(said.contains("2 keys have the name twin"), "{said}");
    let said = crs(&mut relay, &["account", "add", "--name", "x"])
        .await
        .failed(2);
    assert!(
        said.contains("--api-key-file") || said.contains("standard input"),
        "{said}"
    );
    let said = crs(
        &mut relay,
        &["account", "add", "--name", "x", "--api-key-file", "/no/such/file"],
    )
    .await
    .failed(2);
    assert!(said.contains("/no/such/file"), "{said}");
    let failed = crs(&mut relay, &["key", "show", "nobody", "--json"]).await;
    let value: Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!((&value["exitCode"], failed.code), (&3.into(), Some(3)));

    let help = crs(&mut relay, &["--help"]).await.done();
    assert!(
        help.contains("Exit codes") && help.contains("check-config"),
        "{help}"
    );
    assert!(
        crs(&mut relay, &["--version"])
            .await
            .done()
            .contains(env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn health_says_whether_a_server_runs() {
    let mut relay = setup().prepare();
    let said = crs(&mut relay, &["health"]).await.failed(4);
    assert!(said.contains("crs serve"), "{said}");
    relay.start_again().await;
    assert!(crs(&mut relay, &["health"]).await.done().contains(relay.url()));
    // A crash leaves its file behind.
    relay.kill9().await;
    crs(&mut relay, &["health"]).await.failed(4);
}

#[tokio::test]
async fn after_a_crash_commands_open_the_store_themselves() {
    let mut relay = setup().start().await;
    let kept = crs(&mut relay, &["key", "create", "--name", "kept", "--json"])
        .await
        .json();
    relay.kill9().await;
    assert!(relay.data().join("server.json").exists());
    let shown = crs(&mut relay, &["key", "show", "kept", "--json"]).await.json();
    assert_eq!(shown["id"], kept["id"]);
}

#[tokio::test]
async fn a_store_that_another_process_holds_is_said_to_be_in_use() {
    applies_here!();
    let mut relay = setup().start().await;
    // As if the server's file had been lost: nothing says where it listens, and it holds the store.
    std::fs::remove_file(relay.data().join("server.json")).unwrap();
    let said = crs(&mut relay, &["key", "list"]).await.failed(4);
    assert!(said.contains("in use by another crs"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test]
async fn many_commands_at_once_lose_nothing() {
    let mut relay = setup().start().await;
    let commands: Vec<_> = (0..12)
        .map(|number| {
            let mut command = tokio::process::Command::from(relay.process().command());
            let name = format!("key-{number}");
            command
                .args(["key", "create", "--name", &name])
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .output()
        })
        .collect();
    let made = crs_support::within(
        crs_support::PATIENCE,
        "twelve keys",
        futures_util::future::join_all(commands),
    )
    .await;
    let keys: std::collections::BTreeSet<Vec<u8>> = made
        .into_iter()
        .map(|output| {
            let output = output.unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            output.stdout
        })
        .collect();
    assert_eq!(keys.len(), 12);
    let listed = crs(&mut relay, &["key", "list", "--json"]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn lists_go_on_over_all_pages() {
    let mut relay = setup().start().await;
    for number in 0..105 {
        relay.key(&format!("key {number} of the team")).create().await;
    }
    let listed = crs(&mut relay, &["key", "list", "--json"]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 105);
    let args = ["key", "list", "--search", "10", "--json"];
    let found = crs(&mut relay, &args).await.json();
    let found = found.as_array().unwrap();
    assert!((6..=105).contains(&found.len()), "{}", found.len());
    // A name that is a part of others is still found by itself, blanks and all.
    let one = crs(&mut relay, &["key", "show", "key 1 of the team", "--json"])
        .await
        .json();
    assert_eq!(one["name"], "key 1 of the team");
}

#[tokio::test]
async fn a_store_in_memory_is_the_servers_alone() {
    applies_here!();
    let mut relay = setup().env("STORE", "memory").prepare();
    let said = crs(&mut relay, &["key", "create", "--name", "lost"])
        .await
        .failed(4);
    assert!(said.contains("crs serve"), "{said}");
    relay.start_again().await;
    crs(&mut relay, &["key", "create", "--name", "found"])
        .await
        .done();
}

#[tokio::test]
async fn settings_are_checked_without_a_start() {
    let mut relay = setup().prepare();
    let good = crs(&mut relay, &["check-config", "--json"]).await.json();
    let store = good["store"].as_str().unwrap();
    assert!(store.starts_with(HOST.store()), "{store}");
    assert_eq!(
        good["generatedAtStart"],
        serde_json::json!(["JWT_SECRET", "ENCRYPTION_KEY"])
    );
    assert!(!relay.data().join("secrets.json").exists(), "it wrote something");

    let mut relay = setup()
        .env("PORT", "http")
        .env("JWT_SECRET", "s3cret-token")
        .env("TIMEZONE_OFFSET", "Mars")
        .prepare();
    let said = crs(&mut relay, &["check-config"]).await.failed(2);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    for (line, name) in lines.iter().zip(["PORT", "JWT_SECRET", "TIMEZONE_OFFSET"]) {
        assert!(line.starts_with(&format!("crs: {name} ")), "{line}");
    }
    let (code, log) = relay.refuses_to_start().await;
    assert_eq!(code, Some(2));
    assert!(log.contains("TIMEZONE_OFFSET is not a number"), "{log}");
}
