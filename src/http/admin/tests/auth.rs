//! Logging in and out, and what a session may do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::bench::{Bench, LOCAL, NOW, PASSWORD};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_guesses_at_once_no_more_than_the_limit_are_checked() {
    let bench = Bench::new().await;
    let guesses = (0..200_u8).map(|n| {
        let bench = bench.clone();
        async move {
            bench
                .login("root", &format!("guess {n}"), Some([10, 0, 0, n].into()))
                .await
                .status
        }
    });
    let statuses = join_all(guesses).await;
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 30);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 170);
    // The right password does not get through either, until the window ends.
    let answer = bench.login("root", PASSWORD, None).await.is(429);
    let wait: u64 = answer.headers["retry-after"].parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    bench.clock.advance(Duration::from_secs(wait));
    bench.login("root", PASSWORD, None).await.is(200);
}

#[tokio::test]
async fn success_ends_the_count_of_the_account() {
    let bench = Bench::new().await;
    let address = Some("192.0.2.7".parse().unwrap());
    for _ in 0..4 {
        for _ in 0..2 {
            bench.login("root", "wrong", address).await.is(401);
        }
        bench.login("root", PASSWORD, address).await.is(200);
    }
    // 8 failures from this address; logins that succeeded are not among them.
    bench.login("root", "wrong", address).await.is(401);
    bench.login("root", "wrong", address).await.is(401);
    bench.login("root", PASSWORD, address).await.is(429);
    bench
        .login("root", PASSWORD, Some("192.0.2.8".parse().unwrap()))
        .await
        .is(200);
}

#[tokio::test]
async fn one_address_cannot_guess_many_names_nor_lock_the_admin_out() {
    let bench = Bench::new().await;
    let guesser = Some("2001:db8:1:2::1".parse().unwrap());
    for n in 0..10 {
        bench.login(&format!("user{n}"), "guess", guesser).await.is(401);
    }
    // Another address of the same network is the same guesser.
    let neighbour = Some("2001:db8:1:2:ffff::9".parse().unwrap());
    for _ in 0..20 {
        bench.login("root", "guess", neighbour).await.is(429);
    }
    // What the address's limit refused did not count against the account.
    bench
        .login("root", PASSWORD, Some("2001:db8:1:3::1".parse().unwrap()))
        .await
        .is(200);
    // Mapped IPv4 is IPv4.
    for _ in 0..9 {
        bench
            .login("root", "guess", Some("::ffff:192.0.2.1".parse().unwrap()))
            .await
            .is(401);
    }
    bench
        .login("root", PASSWORD, Some("192.0.2.200".parse().unwrap()))
        .await
        .is(200);
}

#[tokio::test]
async fn neither_names_nor_addresses_nor_passwords_are_stored() {
    let bench = Bench::new().await;
    bench
        .login("somebody", "s3cret-guess", Some("198.51.100.77".parse().unwrap()))
        .await
        .is(401);
    bench
        .login("root", PASSWORD, Some("198.51.100.77".parse().unwrap()))
        .await
        .is(200);
    let stored = bench.store.ever_done();
    for secret in ["somebody", "s3cret-guess", "198.51.100.77", PASSWORD] {
        assert!(!stored.contains(secret), "{secret}");
    }
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
    change(json!({"newPassword": "new password"}))
        .await
        .refuses(422, "missing_field", "currentPassword");
    change(json!({"currentPassword": PASSWORD}))
        .await
        .refuses(422, "missing_field", "newPassword");
    change(json!({"currentPassword": PASSWORD, "newPassword": "short"}))
        .await
        .refuses(422, "invalid_field", "newPassword");
    change(json!({"currentPassword": PASSWORD, "newPassword": "new password", "newUsername": " "}))
        .await
        .refuses(422, "invalid_field", "newUsername");
    change(json!({"currentPassword": "wrong", "newPassword": "new password"}))
        .await
        .is(401);
    bench.raw("GET", "/web/auth/user", Some(&token), "").await.is(200);

    let answer =
        change(json!({"currentPassword": PASSWORD, "newPassword": "new password", "newUsername": "boss"}))
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
    bench.login("boss", "new password", None).await.is(200);
    // At the next start the variables are still those that were adopted, so they do not come back.
    bench
        .app
        .admins
        .ensure(&bench.app.config.admin, None, NOW)
        .await
        .unwrap();
    bench.login("boss", "new password", None).await.is(200);
}

#[tokio::test]
async fn a_stolen_session_does_not_guess_the_password() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let guess = |n: u32| {
        let (bench, token) = (bench.clone(), token.clone());
        async move {
            let body = json!({"currentPassword": format!("guess {n}"), "newPassword": "new password"});
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
    let statuses = join_all((0..40).map(guess)).await;
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 30);
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 10);
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
    let (a, b) = tokio::join!(change("the first new one"), change("the second new one"));
    let mut both = [a, b];
    both.sort_unstable();
    assert_eq!(both, [200, 409]);
    let (first, second) = tokio::join!(
        bench.login("root", "the first new one", None),
        bench.login("root", "the second new one", None)
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
    for _ in 0..30 {
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
