//! The front is what the official client takes it for, and ends when it should.

use std::process::Stdio;

use crs_support::client::Client;
use crs_support::node;
use crs_support::redis_server::RedisServer;
use crs_support::upstash::{Manner, UpstashFront};
use crs_support::within;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

#[tokio::test]
async fn the_official_client_reads_back_what_it_wrote() {
    let tools = node::tools(concat!(env!("CARGO_MANIFEST_DIR"), "/../..").as_ref());
    let folder = tools.join("node_modules");
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/upstash/client.mjs");
    let done = Command::new(tools.join("bin/node"))
        .arg(script)
        .arg(&folder)
        .env("URL", front.url())
        .env("TOKEN", front.token())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = within(crs_support::PATIENCE, "the official client", done)
        .await
        .expect("node runs");
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(front.log().contains(&"EVAL".to_owned()));
    assert_eq!(front.commands(), front.log().len() as u64);
}

fn client(front: &UpstashFront) -> Client {
    Client::new(&front.url()).with_bearer(front.token())
}

#[tokio::test]
async fn commands_come_as_paths_too() {
    let server = RedisServer::start();
    let front = UpstashFront::start(&server).await;
    let client = client(&front);
    assert_eq!(
        client.get("/set/k/a%20b").await.good().json(),
        json!({ "result": "OK" })
    );
    assert_eq!(
        client.get("/get/k").await.good().json(),
        json!({ "result": "a b" })
    );
    assert_eq!(
        client.get("/get/none").await.good().json(),
        json!({ "result": null })
    );
    let wrong = client.get("/hget/k/f").await.expect(400);
    assert!(
        wrong.json()["error"]
            .as_str()
            .is_some_and(|text| text.starts_with("WRONGTYPE"))
    );
    let stranger = Client::new(&front.url()).get("/get/k").await.expect(401);
    assert_eq!(stranger.json(), json!({ "error": "Unauthorized" }));
    assert_eq!(front.log(), ["SET", "GET", "GET", "HGET"]);
    front.behaves(Manner::TooMany);
    assert_eq!(
        client.get("/get/k").await.expect(429).header("retry-after"),
        Some("1")
    );
    assert_eq!(front.commands(), 4);
}

/// The program, and the address it printed.
async fn program(args: &[&str]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_upstash-front"))
        .args(args)
        .args(["--token-env", "THE_TOKEN", "--port", "0"])
        .env("THE_TOKEN", "a-token")
        .env("THE_PASSWORD", "p@ss/word of the test")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let line = within(crs_support::PATIENCE, "its address", lines.next_line()).await;
    let url = line.expect("its output").expect("a line");
    (child, url)
}

async fn ask(url: &str, path: &str) -> serde_json::Value {
    let client = Client::new(url).with_bearer("a-token");
    client.get(path).await.good().json()["result"].clone()
}

/// Closes its input and waits for its end.
async fn end(mut child: Child) {
    drop(child.stdin.take());
    let status = within(crs_support::PATIENCE, "its end", child.wait()).await;
    assert!(status.expect("an end").success());
}

#[tokio::test]
async fn the_program_serves_a_redis_that_is_there() {
    let server = RedisServer::start();
    assert_eq!(server.password(), "p@ss/word of the test");
    let port = server.port().to_string();
    let (child, url) = program(&["--redis-port", &port, "--redis-password-env", "THE_PASSWORD"]).await;
    assert_eq!(ask(&url, "/set/k/v").await, "OK");
    assert_eq!(ask(&url, "/get/k").await, "v");
    end(child).await;
}

#[tokio::test]
async fn the_program_keeps_what_its_own_redis_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("redis").display().to_string();
    let (child, url) = program(&["--redis-server", &folder]).await;
    assert_eq!(ask(&url, "/set/k/v").await, "OK");
    end(child).await;
    let (mut child, url) = program(&["--redis-server", &folder]).await;
    assert_eq!(ask(&url, "/get/k").await, "v");
    let port = std::fs::read_to_string(format!("{folder}/redis.conf")).expect("its settings");
    let port = port
        .split("port \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let address = format!("127.0.0.1:{}", port.expect("a port"));
    // Killed, it takes its Redis along.
    child.kill().await.expect("killed");
    crs_support::eventually("its Redis is gone", async || {
        tokio::net::TcpStream::connect(&address).await.err()
    })
    .await;
}
