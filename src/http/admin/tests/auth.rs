//! Logging in and out, and what a session may do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::bench::{Bench, LOCAL, NOW, PASSWORD};
use crate::http::extract::ClientAddress;
use crate::store::guesses::rules::FREE;

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_login_gives_a_token_that_works() {
    let bench = Bench::new().await;
    let answer = bench.login("root", PASSWORD, None).await.is(200);
    assert_eq!(answer.json["success"], true);
    assert_eq!(answer.json["expiresIn"], 86_400_000);
    assert_eq!(answer.json["username"], "root");
    let token = answer.text("token");
    let user = bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);
    assert_eq!(user.json["user"]["username"], "root");
    assert_eq!(user.json["user"]["loginTime"], "2025-11-24T16:00:00.000Z");
    bench
        .raw("GET", "/admin/api-keys", Some(&token), "")
        .await
        .is(200);

    let own = Request::get("/admin/api-keys")
        .header("x-admin-token", &token)
        .body(Body::empty());
    bench.send(own.unwrap()).await.is(200);
    let basic = Request::get("/admin/api-keys")
        .header("authorization", "Basic cm9vdDpyb290")
        .header("x-admin-token", &token)
        .body(Body::empty());
    bench.send(basic.unwrap()).await.is(200);
}

#[tokio::test]
async fn a_wrong_login_says_nothing_of_why() {
    let bench = Bench::new().await;
    let nobody = bench.login("toor", PASSWORD, None).await.is(401);
    let wrong = bench.login("root", "wrong horse", None).await.is(401);
    let long = bench.login("root", &"x".repeat(5000), None).await.is(401);
    for answer in [&wrong, &long] {
        assert_eq!(answer.json["message"], nobody.json["message"]);
        assert_eq!(answer.json["error"], "invalid_credentials");
    }
    // The username is compared exactly, but for blanks around it.
    bench.login("Root", PASSWORD, None).await.is(401);
    bench.login(" root ", PASSWORD, None).await.is(200);
}

#[tokio::test]
async fn missing_credentials_are_no_attempt() {
    let bench = Bench::new().await;
    let address = Some("192.0.2.7".parse().unwrap());
    for _ in 0..50 {
        for body in [
            json!({}),
            json!({"username": "root"}),
            json!({"username": "", "password": "x"}),
        ] {
            let answer = bench
                .raw("POST", "/web/auth/login", None, body.to_string())
                .await
                .is(400);
            assert_eq!(answer.json["error"], "missing_credentials");
        }
        bench.login("root", "", address).await.is(400);
    }
    bench
        .raw(
            "POST",
            "/web/auth/login",
            None,
            r#"{"username": 5, "password": "x"}"#,
        )
        .await
        .refuses(422, "invalid_field", "username");
    bench
        .raw(
            "POST",
            "/web/auth/login",
            None,
            r#"{"user": "root", "password": "x"}"#,
        )
        .await
        .refuses(422, "unknown_field", "user");
    bench.login("root", PASSWORD, address).await.is(200);
}

#[tokio::test]
async fn without_a_valid_token_there_is_nothing() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let (head, signature) = token.rsplit_once('.').unwrap();
    let mut cut = signature.to_owned();
    cut.pop();
    for (bad, code) in [
        (None, "missing_token"),
        (Some(String::new()), "missing_token"),
        (Some("x".repeat(64)), "invalid_session"),
        (Some(format!("{head}.{cut}")), "invalid_session"),
        (Some(format!("{head}.")), "invalid_session"),
        (Some(format!("{LOCAL}x")), "invalid_session"),
        (Some("ü".to_owned()), "missing_token"),
    ] {
        let answer = bench
            .raw("GET", "/admin/api-keys", bad.as_deref(), "")
            .await
            .is(401);
        assert_eq!(answer.json["error"], code, "{bad:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert_eq!(answer.json["requestId"], answer.headers["x-request-id"]);
    }
}

#[tokio::test]
async fn a_session_ends_at_its_time() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    bench.clock.jump(NOW + 86_400_000 - 1);
    bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);
    bench.clock.jump(NOW + 86_400_000);
    let answer = bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(401);
    assert_eq!(answer.json["error"], "session_expired");
}

#[tokio::test]
async fn a_refresh_prolongs() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    bench.clock.jump(NOW + 86_000_000);
    let fresh = bench
        .raw("POST", "/web/auth/refresh", Some(&token), "")
        .await
        .is(200);
    assert_eq!(fresh.json["expiresIn"], 86_400_000);
    bench.clock.jump(NOW + 90_000_000);
    bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(401);
    bench
        .raw("GET", "/web/auth/user", Some(&fresh.text("token")), "")
        .await
        .is(200);
}

#[tokio::test]
async fn logging_out_ends_one_session_or_all() {
    let bench = Bench::new().await;
    let (first, second) = (bench.token().await, bench.token().await);
    bench
        .raw("POST", "/web/auth/logout", Some(&first), "")
        .await
        .is(200);
    bench.raw("GET", "/web/auth/user", Some(&first), "").await.is(401);
    bench
        .raw("POST", "/web/auth/logout", Some(&first), "")
        .await
        .is(401);
    bench
        .raw("GET", "/web/auth/user", Some(&second), "")
        .await
        .is(200);

    let third = bench.token().await;
    bench
        .raw(
            "POST",
            "/web/auth/logout",
            Some(&second),
            r#"{"everywhere": true}"#,
        )
        .await
        .is(200);
    for token in [&second, &third] {
        let answer = bench.raw("GET", "/web/auth/user", Some(token), "").await.is(401);
        assert_eq!(answer.json["error"], "session_expired");
    }
    bench.token().await;
    // The mark of the session that ended alone goes with it.
    assert!(bench.store.ever_done().contains("admin:ended:"));
}

#[tokio::test]
async fn a_new_password_ends_all_sessions() {
    let bench = Bench::new().await;
    let (token, other) = (bench.token().await, bench.token().await);
    let change = |body: Value| {
        let (bench, token) = (bench.clone(), token.clone());
        async move {
            bench
                .raw(
                    "POST",
                    "/web/auth/change-password",
                    Some(&token),
                    body.to_string(),
                )
                .await
        }
    };
    change(json!({"newPassword": "an entirely new password"}))
        .await
        .refuses(422, "missing_field", "currentPassword");
    change(json!({"currentPassword": PASSWORD}))
        .await
        .refuses(422, "missing_field", "newPassword");
    change(json!({"currentPassword": PASSWORD, "newPassword": "short"}))
        .await
        .refuses(422, "invalid_field", "newPassword");
    for weak in ["admin1234", "P@ssw0rd2024", "rootrootroot"] {
        change(json!({"currentPassword": PASSWORD, "newPassword": weak}))
            .await
            .refuses(422, "invalid_field", "newPassword");
    }
    for name in [" ", "ro\u{202e}ot", "ro\u{200b}ot"] {
        change(json!({"currentPassword": PASSWORD, "newPassword": "an entirely new password", "newUsername": name}))
            .await
            .refuses(422, "invalid_field", "newUsername");
    }
    change(json!({"currentPassword": "wrong", "newPassword": "an entirely new password"}))
        .await
        .is(401);
    bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);

    let answer =
        change(json!({"currentPassword": PASSWORD, "newPassword": "an entirely new password", "newUsername": "boss"}))
            .await
            .is(200);
    assert_eq!(answer.json["newUsername"], "boss");
    for old in [&token, &other] {
        bench.raw("GET", "/web/auth/user", Some(old), "").await.is(401);
    }
    bench
        .raw("GET", "/web/auth/user", Some(&answer.text("token")), "")
        .await
        .is(200);
    bench.login("root", PASSWORD, None).await.is(401);
    bench.login("boss", PASSWORD, None).await.is(401);
    bench
        .login("boss", "an entirely new password", None)
        .await
        .is(200);
    // At the next start the variables are still those that were adopted, so they do not come back.
    bench
        .app
        .admins
        .ensure(&bench.app.config.admin, None, NOW)
        .await
        .unwrap();
    bench
        .login("boss", "an entirely new password", None)
        .await
        .is(200);
}

#[tokio::test]
async fn of_two_password_changes_at_once_one_is_done() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let change = |new: &'static str| {
        let (bench, token) = (bench.clone(), token.clone());
        async move {
            let body = json!({"currentPassword": PASSWORD, "newPassword": new});
            bench
                .raw(
                    "POST",
                    "/web/auth/change-password",
                    Some(&token),
                    body.to_string(),
                )
                .await
                .status
        }
    };
    let (a, b) = tokio::join!(
        change("an entirely new password"),
        change("another wholly new password")
    );
    let mut both = [a, b];
    both.sort_unstable();
    assert_eq!(both, [200, 409]);
    let (first, second) = tokio::join!(
        bench.login("root", "an entirely new password", None),
        bench.login("root", "another wholly new password", None)
    );
    assert_eq!(first.status.min(second.status), 200);
    assert_eq!(first.status.max(second.status), 401);
}

#[tokio::test]
async fn without_its_store_nobody_gets_in() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    bench.store.away.store(true, Ordering::SeqCst);
    for answer in [
        bench.login("root", PASSWORD, None).await,
        bench.raw("GET", "/admin/api-keys", Some(&token), "").await,
        bench.get("/admin/accounts").await,
    ] {
        let answer = answer.is(503);
        assert_eq!(answer.json["error"], "store_unavailable");
        assert!(answer.headers.contains_key("retry-after"));
    }
    bench.store.away.store(false, Ordering::SeqCst);
    bench.clock.advance(MINUTE);
    bench
        .raw("GET", "/admin/api-keys", Some(&token), "")
        .await
        .is(200);
}

#[tokio::test]
async fn the_local_command_line_may_set_a_password_and_no_session_may() {
    let bench = Bench::new().await;
    let token = bench.login("root", PASSWORD, None).await.is(200).text("token");
    let body = json!({"password": "a fresh password"});
    let path = "/web/auth/reset-password";
    let refused = bench
        .raw("POST", path, Some(&token), body.to_string())
        .await
        .is(403);
    assert_eq!(refused.json["error"], "local_only");
    bench.raw("POST", path, None, body.to_string()).await.is(401);
    bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);

    for (bad, field) in [
        (json!({}), "password"),
        (json!({"password": "short"}), "password"),
        (
            json!({"password": "a fresh password", "username": " "}),
            "username",
        ),
    ] {
        let answer = bench
            .raw("POST", path, Some(LOCAL), bad.to_string())
            .await
            .is(422);
        assert_eq!(answer.json["field"], field);
    }
    bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);

    // Locked out by many attempts, as who forgot the password is.
    for _ in 0..=FREE {
        bench.login("root", "is it this one?", None).await;
    }
    bench.login("root", PASSWORD, None).await.is(429);
    let reset = bench
        .raw("POST", path, Some(LOCAL), body.to_string())
        .await
        .is(200);
    assert_eq!(reset.json, json!({"success": true, "username": "root"}));
    bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(401);
    bench.login("root", PASSWORD, None).await.is(401);
    bench.login("root", "a fresh password", None).await.is(200);
}

#[tokio::test]
async fn a_session_has_an_end_that_no_refresh_moves() {
    let bench = Bench::new().await;
    let mut token = bench.token().await;
    let day = 86_400_000;
    let begun = bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);
    let ends = begun.json["user"]["sessionEndsAt"].clone();
    assert_eq!(ends, "2025-12-01T16:00:00.000Z");
    // Refreshed each half day.
    for half in 1..14 {
        bench.clock.jump(NOW + half * day / 2);
        let fresh = bench
            .raw("POST", "/web/auth/refresh", Some(&token), "")
            .await
            .is(200);
        token = fresh.text("token");
        let user = bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);
        assert_eq!(user.json["user"]["sessionEndsAt"], ends);
        assert_eq!(user.json["user"]["loginTime"], begun.json["user"]["loginTime"]);
        let left = 7 * day - half * day / 2;
        assert_eq!(fresh.json["expiresIn"], left.min(day));
    }
    bench.clock.jump(NOW + 7 * day);
    for path in ["/web/auth/user", "/admin/api-keys"] {
        let answer = bench.raw("GET", path, Some(&token), "").await.is(401);
        assert_eq!(answer.json["error"], "session_expired");
    }
    bench
        .raw("POST", "/web/auth/refresh", Some(&token), "")
        .await
        .is(401);
}

#[tokio::test]
async fn a_shorter_end_that_is_set_later_holds_for_older_sessions() {
    let long = Bench::new().await;
    let token = long.token().await;
    let short = Bench::with(&[("ADMIN_SESSION_MAX", "3600000")]).await;
    short.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);
    short.clock.jump(NOW + 3_600_000);
    short.raw("GET", "/web/auth/user", Some(&token), "").await.is(401);
    let fresh = short.login("root", PASSWORD, None).await.is(200);
    assert_eq!(fresh.json["expiresIn"], 3_600_000);
}

#[tokio::test]
async fn the_local_token_works_on_this_machine_only() {
    let bench = Bench::new().await;
    for address in [
        Some("192.0.2.7".parse().unwrap()),
        Some([127, 0, 0, 1].into()),
        None,
    ] {
        // The host has not said that it comes from here: a proxy on this machine has its address.
        let request = Request::get("/admin/api-keys")
            .header("authorization", format!("Bearer {LOCAL}"))
            .extension(ClientAddress(address))
            .body(Body::empty());
        let answer = bench.send(request.unwrap()).await.is(401);
        assert_eq!(answer.json["error"], "local_only");
    }
    bench.get("/admin/api-keys").await.is(200);
}
