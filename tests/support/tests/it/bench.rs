use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crs_support::client::Client;
use serde_json::Value;
use tempfile::TempDir;

/// The fast provider, ended on drop.
struct Provider(Child, String);

impl Provider {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bench"))
            .arg("provider")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.take().unwrap()),
            &mut url,
        )
        .unwrap();
        Self(child, url.trim().to_owned())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_fast_provider_answers_as_ordered() {
    let provider = Provider::start();
    let client = Client::new(&provider.1).with_key("k");
    let whole = client
        .messages("hi")
        .edit(|body| body["max_tokens"] = 999.into())
        .send()
        .await
        .good();
    assert_eq!(whole.json()["type"], "message");
    assert!(whole.text().contains("简短的回答"));

    let start = Instant::now();
    let stream = client
        .messages("hi")
        .edit(|body| body["max_tokens"] = 5020.into())
        .stream();
    let stream = stream.send().await.good();
    assert!(start.elapsed().as_millis() >= 100);
    let names: Vec<_> = stream.events().iter().map(|event| event.name.clone()).collect();
    assert_eq!(
        names.iter().filter(|name| *name == "content_block_delta").count(),
        5
    );
    assert_eq!(names.len(), 5 + 6);
    assert_eq!(names.last().unwrap(), "message_stop");
    assert!(stream.events()[names.len() - 2].data["usage"]["output_tokens"].is_u64());
}

#[tokio::test]
async fn the_fast_provider_ends_with_its_starter() {
    let mut provider = Provider::start();
    drop(provider.0.stdin.take());
    let ended =
        crs_support::eventually("the end of the provider", async || provider.0.try_wait().unwrap()).await;
    assert!(ended.success());
}

#[test]
fn a_run_measures_and_reports() {
    let folder = TempDir::new().unwrap();
    let json = folder.path().join("a/b.json");
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["run", "--quick", "--no-nginx", "--only", "latency", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("added to a request, one at a time, p50")
    );
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert!(
        report["rows"][0]["figures"]["direct"].as_f64().unwrap() > 0.0,
        "{report}"
    );
    assert_eq!(report["errors"], serde_json::json!([]));
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let folder = TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args([
            "run",
            "--quick",
            "--no-nginx",
            "--only",
            "latency",
            "--against",
            "http://127.0.0.1:1/api",
            "--json",
        ])
        .arg(folder.path().join("b.json"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("failed: against, one at a time")
    );
}
