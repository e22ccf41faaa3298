//! The console's files, the same on every host: what is a page, what is kept how long, what guards them.
//!
//! A program that was built without Node has no console; it says so in its place, and that is what is tested then.
//! `scripts/test` always builds it.

use crs_support::client::{Answer, Client};
use crs_support::provider::FakeProvider;
use crs_support::relay::{Host, Relay};

use super::HOST;
use super::support::{relay, setup};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types vue";

const GUARDS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A relay, a client without a key, and whether the console is in it.
async fn served() -> (Relay, Client, bool) {
    let relay = setup().start().await;
    let client = Client::new(relay.url());
    let console = client.get("/").await.good().json()["console"].clone();
    let built = console == "/admin-next/";
    assert!(
        built || HOST != Host::Worker,
        "a Worker is always deployed with it"
    );
    (relay, client, built)
}

async fn browse(client: &Client, path: &str) -> Answer {
    client.call("GET", path).header("accept", BROWSER).send().await
}

#[track_caller]
fn guarded(answer: &Answer, path: &str) {
    for (name, value) in GUARDS {
        assert_eq!(answer.header(name), Some(value), "{path}: {name}");
    }
    assert_eq!(answer.header("set-cookie"), None, "{path}");
}

/// The files that the page names.
fn files_of(page: &str) -> Vec<String> {
    let begins = page
        .match_indices("\"/admin-next/")
        .map(|(at, _)| &page[at + 1..]);
    let files: Vec<_> = begins
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    assert!(
        files.iter().any(|file| file.starts_with("/admin-next/assets/")),
        "{page}"
    );
    files
}

#[tokio::test]
async fn every_address_of_the_console_is_its_page_and_is_not_stored() {
    let (_relay, client, built) = served().await;
    for path in [
        "/admin-next/",
        "/admin-next/login",
        "/admin-next/accounts/acc_1",
        "/admin-next/requests?status=500",
    ] {
        let page = browse(&client, path).await;
        if !built {
            let page = page.expect(404);
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
            assert!(page.raw_text().contains("scripts/build-console"), "{path}");
            let told = client.get(path).await.expect(404).json();
            assert!(
                told["message"]
                    .as_str()
                    .is_some_and(|said| said.contains("login-link")),
                "{told}"
            );
            continue;
        }
        let page = page.good();
        let kind = page.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("text/html"), "{path}: {kind}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
        guarded(&page, path);
        assert!(
            page.raw_text().contains(r#"<meta name="crs-api" content="""#),
            "{path}"
        );
        let head = client
            .call("HEAD", path)
            .header("accept", BROWSER)
            .send()
            .await
            .good();
        guarded(&head, path);
        assert!(head.raw_text().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_file_with_a_hash_in_its_name_is_kept_for_good_and_others_are_asked_for_again() {
    let (_relay, client, built) = served().await;
    if !built {
        return;
    }
    let page = browse(&client, "/admin-next/").await.good().raw_text().clone();
    for file in files_of(&page) {
        let answer = client.get(&file).await.good();
        let kept = answer.header("cache-control");
        if file.starts_with("/admin-next/assets/") {
            assert_eq!(kept, Some("public, max-age=31536000, immutable"), "{file}");
        } else {
            assert_eq!(kept, Some("no-cache"), "{file}");
        }
        guarded(&answer, &file);
        let tag = answer.header("etag").expect("an entity tag").to_owned();
        let again = client
            .call("GET", &file)
            .header("if-none-match", &tag)
            .send()
            .await
            .expect(304);
        assert!(again.raw_text().is_empty(), "{file}");
        let other = client
            .call("GET", &file)
            .header("if-none-match", "\"another\"")
            .send()
            .await;
        assert_eq!(other.good().raw_text(), answer.raw_text(), "{file}");
    }
}

#[tokio::test]
async fn files_are_sent_compressed_as_the_client_takes_them() {
    applies_here!();
    let (_relay, client, built) = served().await;
    if !built {
        return;
    }
    let page = browse(&client, "/admin-next/").await.good().raw_text().clone();
    for file in files_of(&page) {
        let plain = client.get(&file).await.good();
        assert_eq!(plain.header("content-encoding"), None, "{file}");
        for (takes, coding) in [("gzip, deflate, br, zstd", "br"), ("gzip", "gzip")] {
            let answer = client
                .call("GET", &file)
                .header("accept-encoding", takes)
                .send()
                .await
                .good();
            assert_eq!(answer.header("content-encoding"), Some(coding), "{file}");
            assert_eq!(answer.header("vary"), Some("accept-encoding"), "{file}");
            assert_eq!(
                answer.header("content-type"),
                plain.header("content-type"),
                "{file}"
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_no_page_and_no_path_leads_elsewhere() {
    let (_relay, client, built) = served().await;
    for path in ["/admin-next/assets/index-00000000.js", "/admin-next/assets/"] {
        let answer = client.get(path).await.expect(404);
        assert!(!answer.raw_text().contains("crs-api"), "{path}");
        if built && HOST != Host::Worker {
            let told = answer.json();
            assert!(
                told["message"]
                    .as_str()
                    .is_some_and(|said| said.contains("load its page again")),
                "{told}"
            );
        }
    }
    for path in [
        "/admin-next/../Cargo.toml",
        "/admin-next/%2e%2e/Cargo.toml",
        "/admin-next/assets/..%2f..%2f..%2fCargo.toml",
        "/admin-next/assets/../../../Cargo.toml",
        "/admin-next//etc/passwd",
        "/admin-next/..%5cCargo.toml",
        "/admin-next/_headers",
        "/admin-next/.gitignore",
    ] {
        let answer = client.get(path).await;
        let text = answer.raw_text();
        for secret in ["[package]", "root:", "Content-Security-Policy:", "!.gitignore"] {
            assert!(!text.contains(secret), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_person_is_led_to_the_console() {
    let (_relay, client, built) = served().await;
    if !built {
        browse(&client, "/admin-next").await.expect(404);
        return;
    }
    for path in ["/", "/admin-next"] {
        let answer = browse(&client, path).await;
        // Cloudflare's assets say 307 for the second.
        assert!([302, 307].contains(&answer.status), "{path}: {}", answer.status);
        assert_eq!(answer.header("location"), Some("/admin-next/"), "{path}");
    }
    client
        .post("/admin-next/login", &serde_json::json!({}))
        .await
        .expect(405);
}

#[tokio::test]
async fn pages_of_exactly_the_consoles_origin_may_call() {
    let provider = FakeProvider::start().await;
    let origin = "https://console.example.com";
    let relay = relay(&provider).env("CONSOLE_ORIGIN", origin).start().await;
    let client = Client::new(relay.url());
    for path in [
        "/web/auth/login",
        "/admin/api-keys",
        "/admin/accounts/acc_1",
        "/health",
    ] {
        let ask = |from| {
            let call = client.call("OPTIONS", path).header("origin", from);
            call.header("access-control-request-method", "PATCH")
                .header("access-control-request-headers", "authorization,content-type")
                .send()
        };
        let own = ask(origin).await;
        assert_eq!(own.status, 200, "{path}");
        assert_eq!(own.header("access-control-allow-origin"), Some(origin), "{path}");
        assert!(
            own.header("access-control-max-age").is_some(),
            "{path}: asked again for each call"
        );
        assert_eq!(own.header("access-control-allow-credentials"), None, "{path}");
        for other in [
            "https://console.example.com.evil.example",
            "http://console.example.com",
            "null",
        ] {
            let allowed = ask(other)
                .await
                .header("access-control-allow-origin")
                .map(str::to_owned);
            assert_ne!(allowed.as_deref(), Some(other), "{path}");
            assert_ne!(allowed.as_deref(), Some("*"), "{path}");
        }
    }
    let call = client
        .call("GET", "/health")
        .header("origin", origin)
        .send()
        .await
        .good();
    assert_eq!(call.header("access-control-allow-origin"), Some(origin));
    let model_call = client
        .call("OPTIONS", "/api/v1/messages")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .send()
        .await;
    assert_eq!(
        model_call.header("access-control-allow-origin"),
        None,
        "model calls are no page's business"
    );
    let exposed = call.header("access-control-expose-headers").unwrap_or_default();
    assert!(
        exposed.contains("x-request-id") && exposed.contains("retry-after"),
        "{exposed}"
    );
}

#[tokio::test]
async fn the_description_of_the_api_is_on_every_host() {
    let relay = setup().start().await;
    let answer = Client::new(relay.url()).get("/openapi.json").await.good();
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/json"), "{kind}");
    let expected: serde_json::Value =
        serde_json::from_str(include_str!("../../assets/openapi.json")).expect("JSON");
    assert_eq!(answer.json(), expected);
}
