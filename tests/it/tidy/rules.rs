//! The rules, as tables: what each layer may name, and what it is told when it names more.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::source::{Source, arguments, below, each_token, line};

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
const NATIVE: [&str; 14] = [
    "tokio",
    "tokio_util",
    "hyper",
    "hyper_util",
    "hyper_rustls",
    "rustls",
    "redb",
    "redis",
    "rand",
    "clap",
    "comfy_table",
    "tracing_subscriber",
    "tower_service",
    "rustix",
];

/// Crates of the edge's runtime, and where they may be named.
const EDGE: [&str; 3] = ["worker", "wasm_streams", "console_error_panic_hook"];
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
        may: &["config", "model::secret", "model::percent"],
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

/// Folders of `account`, one for each provider.
const PROVIDERS: [&str; 4] = ["claude", "openai", "gemini", "antigravity"];

/// Modules and crates that these tables name and that are gone.
pub(super) fn gone(sources: &[Source], manifest: &str) -> Vec<String> {
    let layers = LAYERS
        .iter()
        .flat_map(|layer| layer.may.iter().copied().chain([layer.module]));
    let providers = PROVIDERS.map(|provider| format!("account::{provider}"));
    let modules = layers
        .chain(NATIVE_PLACES)
        .chain(EDGE_PLACES)
        .chain(BACKENDS)
        .chain(PURE)
        .chain(providers.iter().map(String::as_str));
    let is_module = |name: &str| {
        let name: Vec<&str> = name.split("::").collect();
        sources.iter().any(|source| source.module[1..] == *name)
    };
    // A type of a module counts by its module.
    let parent = |name: &str| name.rsplit_once("::").map_or("", |(parent, _)| parent).to_owned();
    let mut findings: Vec<String> = modules
        .filter(|name| *name != "main" && !is_module(name) && !is_module(&parent(name)))
        .map(|name| format!("the rules name the module `{name}`, which is gone"))
        .collect();
    for name in NATIVE.iter().chain(&EDGE).chain(&UPSTASH) {
        let dependency = name.replace('_', "-");
        let is_one = |line: &str| {
            let declared = line.split(['.', ' ', '=']).next().unwrap_or_default();
            declared == dependency || declared == *name
        };
        if !manifest.lines().any(is_one) {
            findings.push(format!(
                "the rules name the crate `{name}`, which is no dependency"
            ));
        }
    }
    findings
}

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
    source
        .paths()
        .into_iter()
        .filter(|(_, path)| {
            path.strip_prefix("crate::account::")
                .and_then(|rest| rest.split("::").next())
                .is_some_and(|other| other != own && PROVIDERS.contains(&other))
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
    let web = native || source.is_in("http");
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
            } else if !web && head == "axum" {
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
    let mut waits = Waits::default();
    waits.visit_file(&source.code);
    let mut findings: Vec<String> = waits
        .0
        .into_iter()
        .map(|(line, word)| {
            format!(
                "{}:{line}: `{word}` in a pure part: compute a value here and wait for it in relay, http or host",
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

/// Collects `async` and `await`.
#[derive(Default)]
struct Waits(Vec<(usize, &'static str)>);

impl<'a> Visit<'a> for Waits {
    fn visit_signature(&mut self, signature: &'a syn::Signature) {
        self.0
            .extend(signature.asyncness.as_ref().map(|word| (line(word), "async")));
        visit::visit_signature(self, signature);
    }

    fn visit_expr_closure(&mut self, closure: &'a syn::ExprClosure) {
        self.0
            .extend(closure.asyncness.as_ref().map(|word| (line(word), "async")));
        visit::visit_expr_closure(self, closure);
    }

    fn visit_expr_async(&mut self, block: &'a syn::ExprAsync) {
        self.0.push((line(&block.async_token), "async"));
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, wait: &'a syn::ExprAwait) {
        self.0.push((line(&wait.await_token), "await"));
        visit::visit_expr_await(self, wait);
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        for word in ["async", "await"] {
            let lines = lines_of(word, call.tokens.clone());
            self.0.extend(lines.into_iter().map(|line| (line, word)));
        }
    }
}

/// The lines on which a word is among the tokens.
fn lines_of(word: &str, tokens: TokenStream) -> Vec<usize> {
    let mut lines = Vec::new();
    each_token(tokens, &mut |token| match token {
        TokenTree::Ident(found) if found == word => lines.push(line(found)),
        _ => {}
    });
    lines
}

pub(super) fn target(source: &Source) -> Vec<String> {
    // What holds for a host's crate as a whole can be said nowhere else.
    if source.path == "src/lib.rs" {
        return Vec::new();
    }
    let mut targets = Targets::default();
    targets.visit_file(&source.code);
    targets
        .0
        .into_iter()
        .map(|line| {
            format!(
                "{}:{line}: `cfg(target_arch)` only on `mod` and `use` lines: give each host a module of its own",
                source.path
            )
        })
        .collect()
}

/// Collects the lines that name the target's architecture, but for attributes of `mod` and `use`.
#[derive(Default)]
struct Targets(Vec<usize>);

impl<'a> Visit<'a> for Targets {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        let items = module.content.iter().flat_map(|(_, items)| items);
        items.for_each(|item| self.visit_item(item));
    }

    fn visit_item_use(&mut self, _: &'a syn::ItemUse) {}

    fn visit_attribute(&mut self, attribute: &'a syn::Attribute) {
        self.0.extend(lines_of("target_arch", arguments(attribute)));
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        self.0.extend(lines_of("target_arch", call.tokens.clone()));
    }
}

/// Names of variables: string literals in capitals in src/config.rs and below it.
pub(super) fn variables(sources: &[Source]) -> BTreeSet<String> {
    sources
        .iter()
        .filter(|source| source.is_in("config"))
        .flat_map(literals)
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
    literals(source)
        .into_iter()
        .filter(|(_, text)| names.contains(text))
        .map(|(line, text)| {
            format!(
                "{}:{line}: the variable {text} is named here: read it in src/config.rs, pass on the value",
                source.path
            )
        })
        .collect()
}

/// String literals with their lines, but for documentation.
fn literals(source: &Source) -> Vec<(usize, String)> {
    let mut literals = Literals::default();
    literals.visit_file(&source.code);
    literals.0
}

#[derive(Default)]
struct Literals(Vec<(usize, String)>);

impl Literals {
    fn tokens(&mut self, tokens: TokenStream) {
        each_token(tokens, &mut |token| {
            if let TokenTree::Literal(literal) = token
                && let syn::Lit::Str(text) = syn::Lit::new(literal.clone())
            {
                self.0.push((line(&text), text.value()));
            }
        });
    }
}

impl<'a> Visit<'a> for Literals {
    fn visit_lit_str(&mut self, text: &'a syn::LitStr) {
        self.0.push((line(text), text.value()));
    }

    fn visit_attribute(&mut self, attribute: &'a syn::Attribute) {
        self.tokens(arguments(attribute));
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        self.tokens(call.tokens.clone());
    }
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
        let chosen = |code| target(&source("src/host.rs", code)).len();
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
            "fn f() { read(\"LOG_LEVEL\", \"info\", \"x y\") }",
        )]);
        assert_eq!(names, BTreeSet::from(["LOG_LEVEL".to_owned()]));
        let found = |path, code| variable_names(&source(path, code), &names).len();
        assert_eq!(found("src/host/native.rs", "fn f() { get(\"LOG_LEVEL\") }"), 1);
        assert_eq!(
            found(
                "src/host/native.rs",
                "/// \"LOG_LEVEL\"\nfn f() { say(\"set LOG_LEVEL to info\") }"
            ),
            0
        );
        assert_eq!(found("src/config.rs", "fn f() { get(\"LOG_LEVEL\") }"), 0);
        assert_eq!(
            found(
                "src/relay.rs",
                "#[cfg(test)]\nmod tests {\n    fn f() { get(\"LOG_LEVEL\") }\n}"
            ),
            0
        );
    }
}
