//! The provider, steered over HTTP.

use crs_support::client::Client;
use crs_support::provider::{FakeProvider, steered};
use serde_json::json;

#[tokio::test]
async fn another_process_says_what_is_answered_and_sees_what_came() {
    let provider = steered(FakeProvider::start().await);
    let client = Client::new(&provider.url());
    let order = json!({"once": true, "credential": "sk-one", "answer": {"status": 529, "message": "busy"}});
    client.post("/control/script", &order).await.expect(204);
    let order = json!({"answer": {"text": "steered", "usage": {"input": 7}}});
    client.post("/control/script", &order).await.expect(204);
    let one = client.clone().with_key("sk-one");
    one.messages("a").send().await.expect(529);
    let answer = one.messages("b").send().await.good();
    assert_eq!(answer.text(), "steered");
    assert_eq!(answer.json()["usage"]["input_tokens"], 7);

    let requests = client.get("/control/requests").await.good().json();
    assert_eq!(requests.as_array().map(Vec::len), Some(2), "{requests}");
    assert_eq!(requests[0]["credential"], "sk-one");
    client.post("/control/forget", &json!({})).await.expect(204);
    assert_eq!(client.get("/control/requests").await.good().json(), json!([]));
}

#[tokio::test]
async fn an_order_that_is_not_understood_is_refused_with_the_reason() {
    let provider = steered(FakeProvider::start().await);
    let client = Client::new(&provider.url());
    for (path, order, why) in [
        ("/control/script", json!({"answer": {"txt": "x"}}), "txt"),
        (
            "/control/script",
            json!({"route": "mesages", "answer": {"text": "x"}}),
            "mesages",
        ),
        ("/control/script", json!({"answer": {}}), "either"),
        ("/control/nothing", json!({}), "nothing"),
        ("/elsewhere", json!({}), "no such path"),
    ] {
        let said = client.post(path, &order).await.expect(400).raw_text();
        assert!(said.contains(why), "{path}: {said}");
    }
}
