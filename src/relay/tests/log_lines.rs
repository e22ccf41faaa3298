//! Every log line of a call names the call, its key and its account, and a failure's line the errors behind it.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;

use super::rig::{End, NOW, Reply, Rig, Setup, TOKENS};
use crate::port::upstream::UpstreamErrorKind;

/// The log lines that `run` writes, one JSON object each.
fn lines(run: impl FnOnce()) -> Vec<Value> {
    let written = Written::default();
    let to = written.clone();
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(move || to.clone());
    let level = tracing_subscriber::filter::LevelFilter::from_level(Level::DEBUG);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(level).with(layer), run);
    let written = written.0.lock().unwrap();
    let lines = written
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A field of one of the spans that the line lies in.
fn of_span(line: &Value, field: &str) -> Option<String> {
    let spans = line["spans"].as_array()?;
    let found = spans.iter().find_map(|span| span[field].as_str());
    found.map(str::to_owned)
}

fn of_call(lines: &[Value]) -> Vec<&Value> {
    let from = |line: &&Value| {
        line["target"]
            .as_str()
            .is_some_and(|target| target.starts_with("crs_edge::relay"))
    };
    lines.iter().filter(from).collect()
}

#[test]
fn lines_name_the_request_the_key_and_the_account() {
    type Story = (&'static str, usize, fn() -> Rig);
    let stories: [Story; 4] = [
        ("three accounts", 3, || {
            let rig = Rig::new();
            for (account, priority) in [("a", 1), ("b", 2), ("c", 3)] {
                rig.account(account, priority);
                rig.provider
                    .script(account, [Reply::unreachable(UpstreamErrorKind::Connect)]);
            }
            rig
        }),
        ("a token that is renewed", 1, || {
            let rig = Rig::new();
            rig.login("l", 1, NOW - 1);
            rig.provider.script(TOKENS, [Reply::tokens("l-2", "l-refresh-2")]);
            rig.provider.script("l-2", [Reply::message()]);
            rig
        }),
        ("a token that is refused", 1, || {
            let rig = Rig::new();
            rig.login("l", 1, NOW - 1);
            rig.provider.script(TOKENS, [Reply::error(400, "invalid_grant")]);
            rig
        }),
        ("an answer that breaks off before its first byte", 1, || {
            let rig = Rig::new();
            rig.account("a", 1);
            rig.provider.script("a", [Reply::stream().cut(0, End::Broken)]);
            rig
        }),
    ];
    for (name, least, story) in stories {
        let rig = story();
        let mut request = None;
        let lines = lines(|| request = rig.served(true).headers.get("x-request-id").cloned());
        let lines = of_call(&lines);
        assert!(lines.len() >= least, "{name}: {lines:?}");
        for line in lines {
            assert_eq!(of_span(line, "request"), request, "{name}: {line}");
            assert!(of_span(line, "key").is_some(), "{name}: {line}");
            assert!(of_span(line, "account").is_some(), "{name}: {line}");
        }
    }
}

#[test]
fn each_attempt_names_its_own_account() {
    let rig = Rig::new();
    for (account, priority) in [("a", 1), ("b", 2)] {
        rig.account(account, priority);
        rig.provider
            .script(account, [Reply::unreachable(UpstreamErrorKind::Broken)]);
    }
    let lines = lines(|| drop(rig.served(false)));
    let failed: Vec<_> = of_call(&lines)
        .into_iter()
        .filter(|line| line["fields"]["message"] == "attempt failed")
        .map(|line| {
            (
                of_span(line, "account").unwrap(),
                line["fields"]["causes"].clone(),
            )
        })
        .collect();
    // The adapter's error and what lies behind it.
    let cause = Value::from("the script's own error");
    assert_eq!(failed, [("a".to_owned(), cause.clone()), ("b".to_owned(), cause)]);
}

#[test]
fn a_converted_stream_that_has_begun_logs_in_its_call() {
    let rig = Rig::with(&Setup {
        vars: vec![("STREAM_PING_INTERVAL", "50"), ("REQUEST_TIMEOUT", "1000")],
        ..Setup::default()
    });
    rig.account("a", 1);
    rig.provider.script("a", [Reply::hangs()]);
    let lines = lines(|| {
        let client = rig.chat_until(true, usize::MAX);
        rig.finish(&[&client]);
    });
    let lines = of_call(&lines);
    assert!(!lines.is_empty());
    for line in lines {
        assert!(of_span(line, "request").is_some(), "{line}");
        assert_eq!(of_span(line, "account").as_deref(), Some("a"), "{line}");
    }
}

#[test]
fn a_span_that_nobody_listens_to_is_off() {
    let id = crs_durable::CallId(7);
    let quiet = tracing::subscriber::NoSubscriber::default();
    tracing::subscriber::with_default(quiet, || {
        let call = crate::relay::span::of_call(id);
        // Off: neither its fields nor the request's id were formatted.
        assert!(call.is_none());
        assert!(crate::relay::span::of_attempt(&call, "a").is_none());
    });
}
