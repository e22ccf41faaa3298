//! The rules, as tables: what each layer may name, and what it is told when it names more.

use std::collections::BTreeSet;

use super::source::{Source, below, tokens};

/// Modules that may use the crates of `NATIVE`.
const NATIVE_PLACES: [&str; 6] = [
    "host",
    "store::embedded",
    "store::tcp",
    "store::upstash::wire::native",
    "cli",
    "main",
];

/// Crates that only a native host links, or that know sockets, files, threads or a terminal.
const NATIVE: [&str; 17] = [
    "tokio",
    "tokio_util",
    "hyper",
    "hyper_util",
    "hyper_rustls",
    "tokio_rustls",
    "rustls",
    "redb",
    "redis",
    "rand",
    "clap",
    "comfy_table",
    "indicatif",
    "tracing_subscriber",
    "tower_service",
    "libc",
    "rustix",
];

/// Crates of the edge's runtime, and where they may be named.
const EDGE: [&str; 7] = [
    "worker",
    "wasm_bindgen",
    "wasm_bindgen_futures",
    "wasm_streams",
    "js_sys",
    "web_sys",
    "console_error_panic_hook",
];
const EDGE_PLACES: [&str; 1] = ["host::worker"];

/// Crates of one store: what it needs to be an HTTP client on both hosts.
const UPSTASH: [&str; 2] = ["reqwest", "send_wrapper"];

/// A layer and what it may name of this crate. Everything else is above it or beside it.
struct Layer {
    module: &'static str,
    may: &'static [&'static str],
    instead: &'static str,
}

const BACKENDS: [&str; 5] = [
    "store::embedded",
    "store::tcp",
    "store::upstash",
    "store::memory",
    "store::redis",
];

const LAYERS: [Layer; 13] = [
    Layer {
        module: "model",
        may: &["model"],
        instead: "nouns are values: let the caller pass in what it knows",
    },
    Layer {
        module: "port",
        may: &["port", "model"],
        instead: "a port is a question of the core in the core's nouns: move the type to model",
    },
    Layer {
        module: "config",
        may: &["config", "model::secret"],
        instead: "config only turns strings into values: convert where the value is used",
    },
    Layer {
        module: "error",
        may: &["error", "model", "port"],
        instead: "an error carries values, not layers",
    },
    Layer {
        module: "secrets",
        may: &["secrets", "config", "model", "port"],
        instead: "take bytes and ports as arguments",
    },
    Layer {
        module: "dialect",
        may: &[
            "dialect",
            "model",
            "error",
            "port::clock::Millis",
            "port::gates::KeyHash",
        ],
        instead: "a protocol is values in, values out, whoever serves it: take the value as an argument",
    },
    Layer {
        module: "convert",
        may: &["convert", "dialect", "model"],
        instead: "a converter knows two protocols and no accounts",
    },
    Layer {
        module: "plan",
        may: &["plan", "account", "convert", "dialect", "model", "config"],
        instead: "a plan only puts together what others do",
    },
    Layer {
        module: "account",
        // Values only: settings, the parsed call, an opened account.
        may: &["account", "dialect", "model", "error", "config"],
        instead: "account modules turn values into values and are never given a port: take the value as an argument",
    },
    Layer {
        module: "state",
        may: &["state", "error", "model", "port"],
        instead: "state is memory: what does I/O with it is the relay's",
    },
    Layer {
        module: "store",
        may: &["store", "port", "model", "config", "secrets", "error"],
        instead: "a store knows nothing of requests: pass in values, return values",
    },
    Layer {
        module: "relay",
        may: &[
            "relay", "plan", "account", "dialect", "model", "port", "error", "config", "app", "state",
            "store", "secrets",
        ],
        instead: "the relay reaches the world through app::Ports: add a question to a port",
    },
    Layer {
        module: "http",
        may: &[
            "http", "relay", "plan", "account", "dialect", "model", "port", "error", "config", "app",
            "state", "store", "secrets",
        ],
        instead: "both hosts serve the same router: reach the world through app::Ports",
    },
];

/// Modules without `async`, clock, randomness or I/O: values in, values out.
const PURE: [&str; 9] = [
    "plan",
    "model",
    "account",
    "convert",
    "dialect",
    "error",
    "config",
    "store::redis",
    "store::vocabulary",
];

pub(super) fn layers(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for layer in LAYERS.iter().filter(|layer| source.is_in(layer.module)) {
        for (line, path) in source.paths() {
            let Some(inner) = path.strip_prefix("crate::") else {
                continue;
            };
            let allowed = layer.may.iter().any(|may| below(inner, may) || below(may, inner));
            // Above the store, one of its backends is as good as another.
            let backend = layer.module != "store" && BACKENDS.iter().any(|backend| below(inner, backend));
            if !allowed || backend {
                findings.push(format!(
                    "{}:{line}: `{}` must not name `{path}`: {}",
                    source.path, layer.module, layer.instead
                ));
            }
        }
    }
    if source.is_in("account") {
        findings.extend(neighbours(source));
    }
    findings
}

/// Providers do not name each other.
fn neighbours(source: &Source) -> Vec<String> {
    let Some(own) = source.module.get(2) else {
        return Vec::new();
    };
    let providers = ["claude", "openai", "gemini", "antigravity"];
    source
        .paths()
        .into_iter()
        .filter(|(_, path)| {
            path.strip_prefix("crate::account::")
                .and_then(|rest| rest.split("::").next())
                .is_some_and(|other| other != own && providers.contains(&other))
        })
        .map(|(line, path)| {
            format!(
                "{}:{line}: the provider `{own}` must not name `{path}`: move what both need up into account.rs",
                source.path
            )
        })
        .collect()
}

pub(super) fn crates(source: &Source) -> Vec<String> {
    let native = source.path == "src/main.rs" || NATIVE_PLACES.iter().any(|place| source.is_in(place));
    let edge = EDGE_PLACES.iter().any(|place| source.is_in(place));
    let web = native || source.is_in("http") || source.is_in("openapi");
    source
        .paths()
        .into_iter()
        .filter_map(|(line, path)| {
            let head = path.split("::").next().unwrap_or_default();
            if !native && NATIVE.contains(&head) {
                Some(format!(
                    "{}:{line}: `{path}` is native: move this to src/host or src/cli, or ask a port for it",
                    source.path
                ))
            } else if !edge && EDGE.contains(&head) {
                Some(format!(
                    "{}:{line}: `{path}` is of the edge's runtime: move this to src/host/worker, or ask a port for it",
                    source.path
                ))
            } else if !source.is_in("store::upstash") && UPSTASH.contains(&head) {
                Some(format!(
                    "{}:{line}: `{path}` is the HTTP client of src/store/upstash alone: ask port::upstream, which passes bytes unchanged",
                    source.path
                ))
            } else if !web && matches!(head, "axum" | "utoipa_axum") {
                Some(format!(
                    "{}:{line}: `{path}`: axum ends at src/http: use the crates http, bytes and http-body here",
                    source.path
                ))
            } else {
                None
            }
        })
        .collect()
}

pub(super) fn purity(source: &Source) -> Vec<String> {
    let machine = source.path.starts_with("durable/") && !source.is_in("object");
    if !machine && !PURE.iter().any(|module| source.is_in(module)) {
        return Vec::new();
    }
    let mut findings: Vec<String> = tokens(&source.code)
        .into_iter()
        .filter(|(_, token)| matches!(*token, "async" | "await"))
        .map(|(line, token)| {
            format!(
                "{}:{line}: `{token}` in a pure part: compute a value here and wait for it in relay, http or host",
                source.path
            )
        })
        .collect();
    for (line, path) in source.paths() {
        let machinery = ["std::thread", "std::fs", "std::net", "std::process", "std::env"];
        let clock = path.ends_with("Instant::now") || path.ends_with("SystemTime::now");
        if clock || machinery.iter().any(|banned| below(&path, banned)) {
            findings.push(format!(
                "{}:{line}: `{path}` in a pure part: take the time and the data as arguments",
                source.path
            ));
        }
    }
    findings
}

pub(super) fn target(source: &Source) -> Vec<String> {
    let tokens = tokens(&source.code);
    let texts: Vec<&str> = tokens.iter().map(|token| token.1).collect();
    let mut findings = Vec::new();
    for (at, (line, token)) in tokens.iter().enumerate() {
        if *token != "target_arch" {
            continue;
        }
        // The attribute's end, then any further attributes, then the item.
        let mut next = at;
        let mut depth = 1;
        while depth > 0 && next + 1 < texts.len() {
            next += 1;
            match texts.get(next) {
                Some(&"[") => depth += 1,
                Some(&"]") => depth -= 1,
                _ => {}
            }
            if depth == 0 && texts.get(next + 1) == Some(&"#") {
                next += 2;
                depth = 1;
            }
        }
        let item = texts
            .iter()
            .skip(next + 1)
            .find(|text| !matches!(**text, "pub" | "(" | ")" | "crate" | "super" | "in"));
        if !matches!(item, Some(&"mod" | &"use")) {
            findings.push(format!(
                "{}:{line}: `cfg(target_arch)` only on `mod` and `use` lines: give each host a module of its own",
                source.path
            ));
        }
    }
    findings
}

/// Names of variables: string literals in capitals in src/config.rs and below it.
pub(super) fn variables(sources: &[Source]) -> BTreeSet<String> {
    sources
        .iter()
        .filter(|source| source.is_in("config"))
        .flat_map(|source| literals(&source.raw))
        .filter(|(_, text)| {
            text.len() > 2
                && text.starts_with(|c: char| c.is_ascii_uppercase())
                && text
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        })
        .map(|(_, text)| text)
        .collect()
}

pub(super) fn variable_names(source: &Source, names: &BTreeSet<String>) -> Vec<String> {
    if source.is_in("config") {
        return Vec::new();
    }
    // A line of which nothing is left in the code is a comment or a test.
    let code: Vec<&str> = source.code.lines().collect();
    literals(&source.raw)
        .into_iter()
        .filter(|(line, text)| {
            names.contains(text) && code.get(line - 1).is_some_and(|code| !code.trim().is_empty())
        })
        .map(|(line, text)| {
            format!(
                "{}:{line}: the variable {text} is named here: read it in src/config.rs, pass on the value",
                source.path
            )
        })
        .collect()
}

/// Plain string literals on one line, with their lines; good enough for names.
fn literals(raw: &str) -> Vec<(usize, String)> {
    raw.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .flat_map(|(number, line)| {
            line.split('"')
                .skip(1)
                .step_by(2)
                .map(move |text| (number + 1, text.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, code: &str) -> Source {
        Source::new(
            path,
            if path.starts_with("src") {
                "src"
            } else {
                "durable/src"
            },
            code.to_owned(),
        )
    }

    #[test]
    fn a_layer_that_reaches_up_or_past_the_ports_is_named() {
        let reach = |path, code| layers(&source(path, code)).len();
        assert_eq!(reach("src/model/key.rs", "use crate::model::money;"), 0);
        assert_eq!(reach("src/model/key.rs", "use crate::port::clock::Clock;"), 1);
        assert_eq!(
            reach("src/model/key.rs", "fn f() { crate::store::keys::all() }"),
            1
        );
        assert_eq!(
            reach("src/relay.rs", "use crate::{port::store::Store, host::native};"),
            1
        );
        assert_eq!(reach("src/relay/a.rs", "use crate::store::ledger;"), 0);
        assert_eq!(reach("src/relay/a.rs", "use crate::store::memory::Memory;"), 1);
        assert_eq!(reach("src/http/a.rs", "use super::super::host::native;"), 1);
        assert_eq!(reach("src/store/tcp.rs", "use crate::dialect::call::Call;"), 1);
        assert_eq!(
            reach(
                "src/account/openai/request.rs",
                "use crate::account::claude::beta;"
            ),
            1
        );
        assert_eq!(reach("src/account/claude/request.rs", "use super::oauth;"), 0);
        assert_eq!(
            reach("src/host/native.rs", "use crate::{store::memory, http, relay};"),
            0
        );
    }

    #[test]
    fn native_crates_and_axum_are_kept_in_their_places() {
        let stray = |path, code| crates(&source(path, code)).len();
        assert_eq!(stray("src/relay.rs", "fn f() { tokio::spawn(x) }"), 1);
        assert_eq!(
            stray("src/host/native/server.rs", "use tokio::net::TcpListener;"),
            0
        );
        assert_eq!(stray("src/store/tcp.rs", "use redis::Client;"), 0);
        assert_eq!(stray("src/store/upstash.rs", "use redis::Client;"), 1);
        assert_eq!(stray("src/store/upstash.rs", "use super::redis::encode;"), 0);
        assert_eq!(stray("src/store/upstash/wire.rs", "use reqwest::Client;"), 0);
        assert_eq!(stray("src/host/native/upstream.rs", "use reqwest::Client;"), 1);
        assert_eq!(stray("src/store/upstash/line.rs", "use rustls::ClientConfig;"), 1);
        assert_eq!(
            stray("src/store/upstash/wire/native.rs", "use rustls::ClientConfig;"),
            0
        );
        assert_eq!(
            stray("src/host/worker/gates.rs", "use worker::send::SendFuture;"),
            0
        );
        assert_eq!(
            stray("src/store/upstash/wire.rs", "use worker::send::SendFuture;"),
            1
        );
        assert_eq!(stray("src/main.rs", "use clap::Parser;"), 0);
        assert_eq!(stray("src/relay/a.rs", "use axum::body::Body;"), 1);
        assert_eq!(stray("src/http/a.rs", "use axum::body::Body;"), 0);
    }

    #[test]
    fn waiting_and_clocks_are_found_in_pure_parts() {
        let impure = |path, code| purity(&source(path, code)).len();
        assert_eq!(impure("durable/src/gate.rs", "async fn f() {}"), 1);
        assert_eq!(impure("durable/src/object.rs", "async fn f() {}"), 0);
        assert_eq!(
            impure("src/dialect/meter.rs", "fn f() { std::time::Instant::now() }"),
            1
        );
        assert_eq!(impure("src/relay/serve.rs", "async fn f() {}"), 0);
        assert_eq!(impure("src/model/key.rs", "/// Not async.\nfn f() {}"), 0);
    }

    #[test]
    fn the_target_may_only_choose_modules() {
        let chosen = |code| target(&source("src/lib.rs", code)).len();
        assert_eq!(chosen("#[cfg(target_arch = \"wasm32\")]\npub mod worker;"), 0);
        assert_eq!(
            chosen("#[cfg(not(target_arch = \"wasm32\"))]\n#[path = \"x.rs\"]\npub(crate) use a::b;"),
            0
        );
        assert_eq!(chosen("#[cfg(target_arch = \"wasm32\")]\nfn f() {}"), 1);
        assert_eq!(chosen("fn f() { if cfg!(target_arch = \"wasm32\") {} }"), 1);
    }

    #[test]
    fn a_variable_named_outside_config_is_found() {
        let names = variables(&[source(
            "src/config/read.rs",
            "read(\"LOG_LEVEL\", \"info\", \"x y\");",
        )]);
        assert_eq!(names, BTreeSet::from(["LOG_LEVEL".to_owned()]));
        let found = |path, code| variable_names(&source(path, code), &names).len();
        assert_eq!(found("src/host/native.rs", "get(\"LOG_LEVEL\")"), 1);
        assert_eq!(found("src/host/native.rs", "say(\"set LOG_LEVEL to info\")"), 0);
        assert_eq!(found("src/config.rs", "get(\"LOG_LEVEL\")"), 0);
        assert_eq!(
            found(
                "src/relay.rs",
                "#[cfg(test)]\nmod tests {\n    fn f() { get(\"LOG_LEVEL\") }\n}"
            ),
            0
        );
    }
}
