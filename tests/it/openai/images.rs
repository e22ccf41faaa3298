//! Images: what Codex's image tool and the SDKs ask for.

use crs_support::client::Client;
use crs_support::provider::{Route, Script};
use serde_json::{Value, json};

use super::super::support::{entries, micro_usd};
use super::{ACCOUNT_KEY, OpenAi, with_a_key, with_chatgpt};

/// The usage of the fake at the prices of gpt-image-2: 5, 8 and 30 USD per million.
const COST: u64 = 17 * 5 + 1457 * 8 + 1372 * 30;

/// As Codex writes them.
const GENERATE: &str = "{\"prompt\":\"a red fox \u{1f98a}\",\"background\":\"opaque\", \"model\":\"gpt-image-2\",\"quality\":\"auto\",\"size\":\"auto\"}";
const EDIT: &str = "{\"images\":[{\"image_url\":\"data:image/png;base64,Zm9v\"}],\"prompt\":\"a hat\",\"model\":\"gpt-image-2\"}";

const KIND: &str = "multipart/form-data; boundary=----form-1";

fn form(model: &str) -> Vec<u8> {
    let head = "------form-1\r\nContent-Disposition: form-data; name=";
    let text = format!(
        "{head}\"image[]\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\u{0}PNG\r\n--\r\n\r\n\
         {head}\"model\"\r\n\r\n{model}\r\n{head}\"prompt\"\r\n\r\na hat\r\n------form-1--\r\n"
    );
    text.into_bytes()
}

impl OpenAi {
    async fn image_call(
        &self,
        path: &str,
        kind: &str,
        body: impl Into<bytes::Bytes>,
    ) -> crs_support::client::Answer {
        let call = self
            .client
            .call("POST", path)
            .body(body)
            .header("content-type", kind);
        call.send().await
    }
}

#[tokio::test]
async fn images_are_made_as_codex_asks_for_them_and_charged() {
    let o = with_a_key().await;
    let root = Client::new(o.relay.url()).with_bearer(&o.key.secret);
    let json = "application/json";
    for (at, (client, path, kind, body)) in [
        (
            &o.client,
            "/images/generations",
            json,
            GENERATE.as_bytes().to_vec(),
        ),
        (&o.client, "/v1/images/edits", json, EDIT.as_bytes().to_vec()),
        (&o.client, "/images/edits", KIND, form("gpt-image-2")),
        (
            &root,
            "/v1/images/generations",
            json,
            GENERATE.as_bytes().to_vec(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let call = client
            .call("POST", path)
            .body(body.clone())
            .header("content-type", kind);
        let answer = call.send().await.good().json();
        assert!(
            answer["data"][0]["b64_json"]
                .as_str()
                .is_some_and(|data| data.len() == 2_200_000)
        );
        let seen = o.asked(Route::Images);
        let target = format!("/v1{}", path.trim_start_matches("/v1"));
        assert_eq!(
            (seen.target.as_str(), seen.bearer()),
            (target.as_str(), Some(ACCOUNT_KEY))
        );
        assert_eq!(seen.header("content-type"), Some(kind));
        assert_eq!(seen.body, body, "byte for byte");
        let entry = entries(&o.relay, at + 1).await.remove(0);
        let endpoint = if path.ends_with("edits") {
            "image_edits"
        } else {
            "image_generations"
        };
        assert_eq!(
            (&entry["endpoint"], &entry["model"], &entry["quality"]),
            (&json!(endpoint), &json!("gpt-image-2"), &json!("exact")),
            "{entry}"
        );
        assert_eq!(
            (&entry["tokens"]["input"], &entry["tokens"]["output"]),
            (&json!(1474), &json!(1372))
        );
        assert_eq!(micro_usd(&entry["cost"]), COST, "{entry}");
    }
}

#[tokio::test]
async fn an_image_that_is_streamed_is_charged_by_its_last_event() {
    let o = with_a_key().await;
    let body = GENERATE.replace("{\"prompt", "{\"stream\":true,\"prompt");
    let answer = o
        .image_call("/images/generations", "application/json", body)
        .await
        .good();
    assert_eq!(
        answer.events().last().expect("an event").name,
        "image_generation.completed"
    );
    let entry = entries(&o.relay, 1).await.remove(0);
    assert_eq!(
        (micro_usd(&entry["cost"]), &entry["quality"]),
        (COST, &json!("exact")),
        "{entry}"
    );
}

#[tokio::test]
async fn images_of_chatgpt_go_where_codex_asks_for_them() {
    let (o, tokens) = with_chatgpt().await;
    o.image_call("/images/generations", "application/json", GENERATE)
        .await
        .good();
    let seen = o.asked(Route::Images);
    assert_eq!(
        (seen.target.as_str(), seen.bearer(), seen.text().as_str()),
        ("/images/generations", Some(tokens.access.as_str()), GENERATE)
    );
}

#[tokio::test]
async fn a_form_says_its_model_to_limits_and_maps() {
    let o = with_a_key().await;
    let accounts = o.relay.admin().get("/admin/accounts").await.good().json();
    let path = format!(
        "/admin/accounts/{}",
        accounts["items"][0]["id"].as_str().expect("an id")
    );
    let map = json!({ "modelMapping": { "gpt-image-2": "my-deployment" } });
    o.relay.admin().patch(&path, &map).await.good();
    o.image_call("/images/edits", KIND, form("gpt-image-2"))
        .await
        .good();
    assert_eq!(o.asked(Route::Images).body, form("my-deployment"));
    // Twice could be read in two ways, and without a model no limit could be checked.
    let before = o.provider.calls();
    let twice = String::from_utf8(form("a"))
        .expect("text")
        .replace("\"prompt\"", "\"model\"");
    for body in [twice, String::from_utf8(form("")).expect("text")] {
        o.image_call("/images/edits", KIND, body).await.expect(400);
    }
    assert_eq!(o.provider.calls(), before);
}

#[tokio::test]
async fn images_without_a_usage_are_estimated() {
    let o = with_a_key().await;
    let answer = json!({ "created": 1, "data": [{ "url": "https://a.example/1.png" }] });
    o.provider.on(Route::Images).answer(Script::json(answer));
    let body: Value = json!({ "model": "gpt-image-2", "prompt": "x", "n": 2 });
    o.image_call("/images/generations", "application/json", body.to_string())
        .await
        .good();
    let entry = entries(&o.relay, 1).await.remove(0);
    assert_eq!(
        (
            &entry["quality"],
            &entry["tokens"]["output"],
            micro_usd(&entry["cost"])
        ),
        (&json!("estimated"), &json!(2 * 7_024), 2 * 7_024 * 30),
        "{entry}"
    );
}
