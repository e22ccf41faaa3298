//! `/admin/oem-settings`.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::bench::{Bench, LOCAL};

fn icon(kind: &str, bytes: &[u8]) -> Value {
    json!(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}

#[tokio::test]
async fn anybody_reads_and_the_admin_writes() {
    let bench = Bench::new().await;
    let path = "/admin/oem-settings";
    let first = bench.raw("GET", path, None, "").await.is(200).json;
    assert_eq!(
        first,
        json!({"siteName": "Our relay", "siteIcon": "", "siteIconData": "", "showAdminButton": true, "publicAddress": null, "updatedAt": null})
    );
    bench.raw("PUT", path, None, r#"{"siteName": "x"}"#).await.is(401);
    let png = icon("png", b"\x89PNG\r\n\x1a\nrest");
    let body =
        json!({"siteName": "Mine", "siteIcon": "/logo.svg", "siteIconData": png, "showAdminButton": false});
    let set = bench.call("PUT", path, &body).await.is(200).json;
    assert_eq!(
        (&set["siteName"], &set["showAdminButton"], &set["siteIconData"]),
        (&json!("Mine"), &json!(false), &png)
    );
    assert_eq!(bench.raw("GET", path, None, "").await.is(200).json, set);
    let set = bench
        .call("PUT", path, &json!({"siteName": "Mine"}))
        .await
        .is(200)
        .json;
    assert_eq!(
        (&set["siteIcon"], &set["showAdminButton"]),
        (&json!(""), &json!(true))
    );
}

#[tokio::test]
async fn the_address_for_clients_is_told_to_anybody_and_set_by_the_operator_alone() {
    let bench = Bench::with(&[("PUBLIC_ADDRESS", "https://relay.example.com/")]).await;
    let path = "/admin/oem-settings";
    let told = bench.raw("GET", path, None, "").await.is(200).json;
    assert_eq!(told["publicAddress"], "https://relay.example.com");
    let other = json!({"siteName": "Mine", "publicAddress": "https://elsewhere.example.com"});
    assert_eq!(
        bench.call("PUT", path, &other).await.is(422).json["field"],
        "publicAddress"
    );
    let set = bench
        .call("PUT", path, &json!({"siteName": "Mine"}))
        .await
        .is(200)
        .json;
    assert_eq!(set["publicAddress"], "https://relay.example.com");
}

#[tokio::test]
async fn icons_are_what_they_say_and_no_larger_than_they_may() {
    let bench = Bench::new().await;
    let path = "/admin/oem-settings";
    let limit = 350 * 1024;
    let png = |size: usize| {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        bytes.resize(size, 0);
        icon("png", &bytes)
    };
    for good in [
        png(limit),
        icon("jpeg", b"\xff\xd8\xff\xe0"),
        icon("svg+xml", b"<?xml version='1.0'?><svg/>"),
        icon("x-icon", &[0, 0, 1, 0, 1]),
    ] {
        bench
            .call("PUT", path, &json!({"siteName": "x", "siteIconData": good}))
            .await
            .is(200);
    }
    for bad in [
        png(limit + 1),
        icon("png", b"<svg onload=alert(1)>"),
        icon("svg+xml", b"no picture"),
        json!("data:text/html;base64,PHN2Zz4="),
        json!("data:image/png;base64,@@@"),
        json!("https://example.com/i.png"),
        json!("data:image/png,plain"),
    ] {
        bench
            .call("PUT", path, &json!({"siteName": "x", "siteIconData": bad}))
            .await
            .refuses(422, "invalid_field", "siteIconData");
    }
    for bad in [
        "javascript:alert(1)",
        "//evil.example/i.png",
        "ftp://x/y",
        "i.png",
        "/\\evil",
    ] {
        bench
            .call("PUT", path, &json!({"siteName": "x", "siteIcon": bad}))
            .await
            .refuses(422, "invalid_field", "siteIcon");
    }
    bench
        .call("PUT", path, &json!({"siteIcon": ""}))
        .await
        .refuses(422, "missing_field", "siteName");
    bench
        .call("PUT", path, &json!({"siteName": "x", "theme": "dark"}))
        .await
        .refuses(422, "unknown_field", "theme");
    bench
        .raw("PUT", path, Some(LOCAL), vec![b'x'; (1 << 20) + 1])
        .await
        .is(413);
}

#[tokio::test]
async fn a_crowd_of_strangers_costs_the_store_one_read() {
    let bench = Bench::new().await;
    let path = "/admin/oem-settings";
    bench
        .call("PUT", path, &json!({"siteName": "First"}))
        .await
        .is(200);
    for path in [path, "/health"] {
        let before = bench.store.calls.load(Ordering::SeqCst);
        for _ in 0..100 {
            bench.raw("GET", path, None, "").await.is(200);
        }
        assert_eq!(bench.store.calls.load(Ordering::SeqCst), before + 1, "{path}");
    }
    // What is changed here shows at once; what another process changed, soon.
    bench
        .call("PUT", path, &json!({"siteName": "Second"}))
        .await
        .is(200);
    assert_eq!(bench.raw("GET", path, None, "").await.json["siteName"], "Second");
    let other = crate::store::settings::Settings::new(bench.store.clone(), "x");
    other
        .set_oem(1, |oem| oem.site_name = "Third".to_owned())
        .await
        .unwrap();
    bench.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(bench.raw("GET", path, None, "").await.json["siteName"], "Third");
    // The store is noticed to be away within a second.
    bench.store.away.store(true, Ordering::SeqCst);
    bench.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(
        bench.raw("GET", "/health", None, "").await.json["status"],
        "degraded"
    );
    // What was read before is better than nothing, after the first was told.
    bench.clock.advance(std::time::Duration::from_secs(10));
    bench.raw("GET", path, None, "").await.is(503);
    assert_eq!(
        bench.raw("GET", path, None, "").await.is(200).json["siteName"],
        "Third"
    );
}
