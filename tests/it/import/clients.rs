//! The users of the old relay notice nothing: their clients, as they were set up, with their old keys.

use std::path::Path;

use crs_support::claude_code::{ClaudeCode, versions};
use crs_support::codex::Codex;
use crs_support::crs::{Crs, Edition, Kind};
use crs_support::gemini_cli::GeminiCli;
use crs_support::provider::{FakeProvider, Route, Script};
use serde_json::json;

use super::super::support::{entries, setup};
use super::{ENCRYPTION_KEY, Old};

const HELLO: &str = "hello from the far side — 你好";

#[tokio::test]
async fn the_real_clients_go_on_with_their_old_keys() {
    let provider = FakeProvider::start().await;
    provider.answer(Script::message(HELLO));
    provider.on(Route::Responses).answer(Script::openai(HELLO));
    provider.on(Route::Gemini).answer(Script::gemini(HELLO));
    let mut crs = Crs::empty(Edition::Upstream, ENCRYPTION_KEY);
    let url = provider.url();
    for (at, kind, fields) in [
        ("claude_console_account:", Kind::Console, ("apiUrl", url.clone())),
        (
            "openai_responses_account:",
            Kind::Responses,
            ("baseApi", format!("{url}/v1")),
        ),
        (
            "gemini_api_account:",
            Kind::GeminiApi,
            ("baseUrl", format!("{url}/v1beta")),
        ),
    ] {
        let secret = crs.seal(kind, "sk-of-the-provider");
        let id = format!("c0000000-0000-4000-8000-{:012}", at.len());
        crs.account(at, &id, &[("apiKey", &secret), (fields.0, &fields.1)]);
    }
    // Of a login, as those who log in to Google need one.
    let (access, refresh) = (
        crs.seal(Kind::Gemini, "ya29.token"),
        crs.seal(Kind::Gemini, "1//refresh"),
    );
    let end = (crs.now + 3_600_000).to_string();
    let login = [
        ("accessToken", access.as_str()),
        ("refreshToken", &refresh),
        ("expiresAt", &end),
    ];
    crs.account("gemini_account:", Crs::GEMINI, &login);
    let key = crs.key(
        "everybody's",
        &[("dailyCostLimit", "5"), ("concurrencyLimit", "4")],
    );
    let old = Old::of(crs);
    let mut relay = setup().provider(&provider).prepare();
    old.import(&relay, &["--take-over"]).await;
    relay.start_again().await;

    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Claude Code has two addresses at CRS.
    for base in ["/api/", "/claude/"] {
        let base = format!("{}{base}", relay.url());
        let claude = ClaudeCode::new(&versions().remove(0), &base, &key.secret).await;
        let run = claude.print("say hello").await.good();
        assert!(run.text().contains(HELLO), "{base}: {run:?}");
    }
    let codex = Codex::new(&format!("{}/openai", relay.url()), &key.secret).await;
    let run = codex.exec("say hello").await.good();
    assert!(run.text().contains(HELLO), "{run:?}");
    let base = format!("{}/gemini", relay.url());
    for gemini in [
        GeminiCli::with_key(checkout, &base, &key.secret).await,
        GeminiCli::with_login(checkout, &base, &key.secret).await,
    ] {
        let run = gemini.print(Some("gemini-2.5-pro"), "say hello").await.good();
        assert_eq!(run.text(), HELLO, "{run:?}");
    }
    // All of it is the old key's, beside what it had spent before.
    let all = entries(&relay, 5).await;
    assert!(all.iter().all(|entry| entry["keyId"] == json!(key.id)), "{all:?}");
}
