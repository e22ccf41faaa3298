//! Where accounts may point, and what of their secrets a change of that takes along.

use serde_json::{Value, json};

use super::bench::Bench;

fn account(base_url: &Value, proxy: &Value) -> Value {
    json!({
        "name": "main", "platform": "claude", "proxy": proxy,
        "credentials": {"type": "apiKey", "apiKey": "sk-ant-s3cret", "baseUrl": base_url},
    })
}

fn proxy(host: &str) -> Value {
    json!({"type": "http", "host": host, "port": 3128})
}

async fn strict() -> Bench {
    Bench::with(&[
        ("ALLOW_PRIVATE_UPSTREAMS", "false"),
        ("CLAUDE_API_URL", "http://10.0.0.7:8080"),
    ])
    .await
}

#[tokio::test]
async fn forbidden_addresses_are_refused_with_words_whatever_is_set() {
    for bench in [Bench::new().await, strict().await] {
        for host in [
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "[::ffff:169.254.169.254]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "metadata.google.internal",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
        ] {
            for scheme in ["http", "https"] {
                let base = json!(format!("{scheme}://{host}/v1"));
                let refusal = bench
                    .post("/admin/accounts", account(&base, &Value::Null))
                    .await
                    .refuses(422, "invalid_field", "credentials.baseUrl");
                let message = refusal.text("message");
                assert!(message.contains("never goes there"), "{base}: {message}");
            }
            bench
                .post("/admin/accounts", account(&Value::Null, &proxy(host)))
                .await
                .refuses(422, "invalid_field", "proxy.host");
        }
        assert_eq!(bench.get("/admin/accounts").await.json["total"], 0);
    }
}

#[tokio::test]
async fn private_addresses_want_the_setting_and_are_told_its_name() {
    let (strict, lenient) = (strict().await, Bench::new().await);
    for host in [
        "127.0.0.1:11434",
        "localhost",
        "10.0.0.7",
        "192.168.1.9",
        "[fd12::1]",
        "ollama",
    ] {
        let base = json!(format!("http://{host}/v1"));
        let refusal = strict
            .post("/admin/accounts", account(&base, &Value::Null))
            .await
            .refuses(422, "invalid_field", "credentials.baseUrl");
        let message = refusal.text("message");
        assert!(message.contains("ALLOW_PRIVATE_UPSTREAMS=true"), "{message}");
        lenient
            .post("/admin/accounts", account(&base, &Value::Null))
            .await
            .is(201);
    }
    for host in ["127.0.0.1", "clash"] {
        let body = account(&Value::Null, &proxy(host));
        let refusal =
            strict
                .post("/admin/accounts", body.clone())
                .await
                .refuses(422, "invalid_field", "proxy.host");
        assert!(refusal.text("message").contains("ALLOW_PRIVATE_UPSTREAMS=true"));
        lenient.post("/admin/accounts", body).await.is(201);
    }
    // What the configuration itself names is allowed, on its port.
    let base = json!("http://10.0.0.7:8080/v1");
    strict
        .post("/admin/accounts", account(&base, &Value::Null))
        .await
        .is(201);
}

#[tokio::test]
async fn plain_http_to_the_internet_is_refused() {
    for bench in [Bench::new().await, strict().await] {
        let base = json!("http://1.1.1.1/v1");
        let refusal = bench
            .post("/admin/accounts", account(&base, &Value::Null))
            .await
            .refuses(422, "invalid_field", "credentials.baseUrl");
        assert!(refusal.text("message").contains("https://"));
    }
    let base = json!("http://models.example/v1");
    strict()
        .await
        .post("/admin/accounts", account(&base, &Value::Null))
        .await
        .refuses(422, "invalid_field", "credentials.baseUrl");
}

#[tokio::test]
async fn a_change_of_address_or_proxy_wants_every_secret_again() {
    let bench = Bench::new().await;
    let made = bench
        .post("/admin/accounts", account(&Value::Null, &Value::Null))
        .await
        .is(201);
    let path = format!("/admin/accounts/{}", made.text("id"));
    for body in [
        json!({"credentials": {"type": "apiKey", "baseUrl": "https://evil.example"}}),
        json!({"proxy": proxy("evil.example")}),
        json!({"proxy": proxy("evil.example"), "credentials": {"type": "apiKey"}}),
    ] {
        let refusal = bench
            .patch(&path, body)
            .await
            .refuses(422, "secret_needed", "credentials.apiKey");
        let message = refusal.text("message");
        assert!(
            message.contains("evil.example") && message.contains("sent again"),
            "{message}"
        );
    }
    assert_eq!(bench.get(&path).await.json["proxy"], Value::Null);
    // Whatever is tested now goes where it always went.
    bench
        .patch(&path, json!({"proxy": proxy("proxy.example"), "credentials": {"type": "apiKey", "apiKey": "sk-ant-s3cret"}}))
        .await
        .is(200);

    bench
        .patch(&path, json!({"credentials": {"type": "oauth", "accessToken": "at-s3cret", "refreshToken": "rt-s3cret"}}))
        .await
        .is(200);
    let elsewhere = proxy("evil.example");
    bench.patch(&path, json!({"proxy": elsewhere})).await.refuses(
        422,
        "secret_needed",
        "credentials.accessToken",
    );
    bench
        .patch(
            &path,
            json!({"proxy": elsewhere, "credentials": {"type": "oauth", "accessToken": "at-2"}}),
        )
        .await
        .refuses(422, "secret_needed", "credentials.refreshToken");
    bench
        .patch(&path, json!({"proxy": elsewhere, "credentials": {"type": "oauth", "accessToken": "at-2", "refreshToken": null}}))
        .await
        .is(200);
    assert!(!bench.answers().concat().contains("s3cret"));
}
