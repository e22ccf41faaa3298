//! Guessing the admin's password, and the way in that guessers cannot close.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;

use super::bench::{Bench, LOCAL, NOW, PASSWORD};
use crate::http::extract::ClientAddress;
use crate::secrets::TICKET_LIFETIME;
use crate::store::guesses::rules::{FREE, OF_ALL_STRANGERS, PER_SITE};

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
    let checked = statuses.iter().filter(|status| **status == 401).count();
    assert!((1..=PER_SITE as usize).contains(&checked), "{checked}");
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        200 - checked
    );
    // The admin is elsewhere and gets in.
    bench
        .login("root", PASSWORD, Some([192, 0, 2, 1].into()))
        .await
        .is(200);
}

#[tokio::test]
async fn the_wait_grows_with_each_failure_and_ends_with_a_success() {
    let bench = Bench::new().await;
    let address = Some("192.0.2.7".parse().unwrap());
    for _ in 0..FREE {
        bench.login("root", "wrong", address).await.is(401);
    }
    for wait in [30, 60, 120] {
        // The right password has to wait, too.
        let refused = bench.login("root", PASSWORD, address).await.is(429);
        assert_eq!(refused.json["error"], "too_many_attempts");
        assert_eq!(refused.headers["retry-after"], wait.to_string());
        bench.clock.advance(Duration::from_secs(wait));
        bench.login("root", "wrong", address).await.is(401);
    }
    bench.clock.advance(Duration::from_mins(4));
    bench.login("root", PASSWORD, address).await.is(200);
    for _ in 0..FREE {
        bench.login("root", "wrong", address).await.is(401);
    }
}

#[tokio::test]
async fn strangers_do_not_lock_the_admin_out() {
    let bench = Bench::new().await;
    let home = Some("198.51.100.7".parse().unwrap());
    bench.login("root", PASSWORD, home).await.is(200);
    // Thirty wrong passwords from three addresses, and thirty from one IPv6 site.
    for n in 0..30_u8 {
        bench
            .login("root", "guess", Some([203, 0, 113, n % 3].into()))
            .await;
        let site = format!("2001:db8:1:{n:x}::1");
        bench.login("root", "guess", Some(site.parse().unwrap())).await;
    }
    // An address that was never seen before.
    bench
        .login("root", PASSWORD, Some("192.0.2.200".parse().unwrap()))
        .await
        .is(200);
    // However much strangers guess, a known address gets in.
    let window = NOW / (15 * 60 * 1000);
    bench.store.put(
        &crate::store::keys::login_strangers(window),
        &OF_ALL_STRANGERS.to_string(),
    );
    bench
        .login("root", PASSWORD, Some("192.0.2.99".parse().unwrap()))
        .await
        .is(429);
    bench.login("root", PASSWORD, home).await.is(200);
}

#[tokio::test]
async fn a_refused_login_costs_the_store_nothing_and_its_body_is_not_read() {
    let bench = Bench::new().await;
    let address = Some("192.0.2.7".parse().unwrap());
    for _ in 0..=FREE {
        bench.login("root", "wrong", address).await;
    }
    let before = bench.store.calls.load(Ordering::SeqCst);
    for _ in 0..100 {
        bench.login("root", "wrong", address).await.is(429);
        let unread = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let request = Request::post("/web/auth/login")
            .extension(ClientAddress(address))
            .body(unread);
        bench.send(request.unwrap()).await.is(429);
    }
    assert_eq!(bench.store.calls.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn what_strangers_may_send_is_small() {
    let bench = Bench::new().await;
    for path in ["/web/auth/login", "/web/auth/login-link"] {
        let answer = bench
            .raw("POST", path, None, vec![b' '; (8 << 10) + 1])
            .await
            .is(413);
        assert_eq!(answer.json["message"], "The request's body is larger than 8 KiB.");
    }
    bench
        .raw(
            "POST",
            "/admin/api-keys",
            Some(LOCAL),
            vec![b' '; (256 << 10) + 1],
        )
        .await
        .is(413);
}

#[tokio::test]
async fn one_address_cannot_guess_many_names_nor_lock_the_admin_out() {
    let bench = Bench::new().await;
    let guesser = Some("2001:db8:1:2::1".parse().unwrap());
    for n in 0..FREE {
        bench.login(&format!("user{n}"), "guess", guesser).await.is(401);
    }
    // Another address of the same network is the same guesser.
    let neighbour = Some("2001:db8:1:2:ffff::9".parse().unwrap());
    for _ in 0..20 {
        bench.login("root", "guess", neighbour).await.is(429);
    }
    // Nothing is counted per name.
    bench
        .login("root", PASSWORD, Some("2001:db8:1:3::1".parse().unwrap()))
        .await
        .is(200);
    // Mapped IPv4 is IPv4.
    for _ in 0..FREE {
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
async fn neither_names_nor_passwords_are_stored_and_addresses_in_the_log_and_the_list_of_sessions_only() {
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
    for secret in ["somebody", "s3cret-guess", PASSWORD] {
        assert!(!stored.contains(secret), "{secret}");
    }
    // The audit log says from where a person logged in, and from which network others tried. So does the list of
    // sessions, of those that last; nothing else does.
    let (log, rest): (Vec<&str>, Vec<&str>) = stored.lines().partition(|line| line.contains("\"audit:"));
    let (sessions, rest): (Vec<&str>, Vec<&str>) = rest
        .into_iter()
        .partition(|line| line.contains("\"admin:session:"));
    assert!(
        sessions.len() == 1
            && sessions[0].contains("198.51.100.77")
            && sessions[0].contains("expire_at: Some(")
    );
    assert!(rest.iter().all(|line| !line.contains("198.51.100.77")));
    let refused: Vec<&&str> = log.iter().filter(|line| line.contains("login_refused")).collect();
    assert!(!refused.is_empty() && refused.iter().all(|line| !line.contains("198.51.100.77")));
}

#[tokio::test]
async fn a_stolen_session_does_not_guess_the_password() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let guess = |n: u32| {
        let (bench, token) = (bench.clone(), token.clone());
        async move {
            let body =
                json!({"currentPassword": format!("guess {n}"), "newPassword": "an entirely new password"});
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
    let checked = statuses.iter().filter(|status| **status == 401).count();
    assert!((1..=FREE as usize).contains(&checked), "{statuses:?}");
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        40 - checked
    );
    // The admin, with a session of its own, changes it all the same.
    let token = bench.token().await;
    let body = json!({"currentPassword": PASSWORD, "newPassword": "an entirely new password"});
    bench
        .raw(
            "POST",
            "/web/auth/change-password",
            Some(&token),
            body.to_string(),
        )
        .await
        .is(200);
}

#[tokio::test]
async fn a_login_link_lets_the_operator_in_once_whatever_strangers_did() {
    let bench = Bench::new().await;
    let address = Some("192.0.2.7".parse().unwrap());
    for _ in 0..=FREE {
        bench.login("root", "wrong", address).await;
    }
    bench.login("root", PASSWORD, address).await.is(429);
    let window = NOW / (15 * 60 * 1000);
    bench.store.put(
        &crate::store::keys::login_strangers(window),
        &OF_ALL_STRANGERS.to_string(),
    );

    let token = {
        let made = bench.post("/web/auth/login-tickets", json!({})).await.is(201);
        assert_eq!(made.json["expiresIn"].as_u64().unwrap(), TICKET_LIFETIME);
        made.text("ticket")
    };
    let exchange = |ticket: String| {
        let bench = bench.clone();
        async move {
            let request = Request::post("/web/auth/login-link")
                .extension(ClientAddress(address))
                .body(Body::from(json!({ "ticket": ticket }).to_string()));
            bench.send(request.unwrap()).await
        }
    };
    let answers = join_all((0..20).map(|_| exchange(token.clone()))).await;
    let (good, used): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((good.len(), used.len()), (1, 19));
    for answer in used {
        assert_eq!(answer.is(401).json["error"], "ticket_used");
    }
    bench
        .raw("GET", "/admin/api-keys", Some(&good[0].text("token")), "")
        .await
        .is(200);
    // The address is the admin's from now on.
    bench.login("root", PASSWORD, address).await.is(200);

    // Old ones and made-up ones cost nothing.
    let old = bench
        .post("/web/auth/login-tickets", json!({}))
        .await
        .text("ticket");
    bench.clock.advance(Duration::from_millis(TICKET_LIFETIME));
    let before = bench.store.calls.load(Ordering::SeqCst);
    assert_eq!(exchange(old).await.is(401).json["error"], "ticket_expired");
    for bad in ["", "x", LOCAL, good[0].text("token").as_str()] {
        assert_eq!(
            exchange(bad.to_owned()).await.is(401).json["error"],
            "invalid_ticket"
        );
    }
    bench
        .raw("POST", "/web/auth/login-link", None, "{}")
        .await
        .refuses(422, "missing_field", "ticket");
    assert_eq!(bench.store.calls.load(Ordering::SeqCst), before);

    // A session does not make one: who stole it for an hour would keep it.
    let session = bench.login("root", PASSWORD, address).await.text("token");
    let refused = bench
        .raw("POST", "/web/auth/login-tickets", Some(&session), "")
        .await
        .is(403);
    assert_eq!(refused.json["error"], "local_only");
}
