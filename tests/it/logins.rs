//! Who may log in as the admin, and what those who may not can do to others.

use crs_support::client::{Answer, Ask, Client, Raw};
use crs_support::relay::{Host, Relay};
use serde_json::json;

use super::HOST;
use super::support::{ready, setup};

/// A relay that believes what it is told of addresses: natively by a proxy of ours, on the edge by Cloudflare.
async fn relay() -> Relay {
    setup().env("TRUST_PROXY", "true").start().await
}

const ADDRESS: &str = if matches!(HOST, Host::Worker) {
    "cf-connecting-ip"
} else {
    "x-forwarded-for"
};

async fn login(relay: &Relay, from: &str, password: &str) -> Answer {
    let (username, _) = relay.first_login();
    Client::new(relay.url())
        .call("POST", "/web/auth/login")
        .header(ADDRESS, from)
        .json(&json!({ "username": username, "password": password }))
        .send()
        .await
}

#[tokio::test]
async fn wrong_passwords_of_others_do_not_lock_the_admin_out() {
    let relay = relay().await;
    let (_, password) = relay.first_login();
    login(&relay, "198.51.100.7", &password).await.good();
    for n in 0..30 {
        let from = format!("203.0.113.{}", n % 3);
        assert_ne!(login(&relay, &from, "a wrong one").await.status, 200);
        let site = format!("2001:db8:1:{n}::1");
        assert_ne!(login(&relay, &site, "a wrong one").await.status, 200);
    }
    let wait: u64 = login(&relay, "203.0.113.1", &password)
        .await
        .expect(429)
        .header("retry-after")
        .expect("when to try again")
        .parse()
        .expect("seconds");
    assert!((1..=900).contains(&wait), "{wait}");
    for home in ["198.51.100.7", "192.0.2.200", "2001:db8:2::1"] {
        login(&relay, home, &password).await.good();
    }
}

#[tokio::test]
async fn a_crowd_of_guesses_is_checked_no_more_often_than_the_limits_say() {
    let relay = relay().await;
    let guesses = (0..200).map(|n| {
        let relay = &relay;
        async move {
            let from = format!("203.0.113.{n}");
            login(relay, &from, &format!("guess {n}")).await.status
        }
    });
    let statuses = futures_util::future::join_all(guesses).await;
    let checked = statuses.iter().filter(|status| **status == 401).count();
    // 50 of one network.
    assert!((1..=50).contains(&checked), "{checked}");
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        200 - checked
    );
    let (_, password) = relay.first_login();
    login(&relay, "198.51.100.7", &password).await.good();
}

/// Bytes of a process's own memory that are resident, without what is mapped from files.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.expect("its resident memory").trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("a number") << 10
}

#[tokio::test]
async fn the_memory_of_logins_is_given_back() {
    applies_here!();
    let relay = relay().await;
    let pid = relay.pid();
    let before = resident(pid);
    let guesses = (0..30).map(|n| {
        let relay = &relay;
        async move { login(relay, &format!("203.0.{n}.1"), "a wrong one").await.status }
    });
    let statuses = futures_util::future::join_all(guesses).await;
    assert!(statuses.contains(&401), "{statuses:?}");
    for n in 0..30 {
        login(&relay, &format!("203.1.{n}.1"), "a wrong one")
            .await
            .expect(401);
    }
    let grown = resident(pid).saturating_sub(before);
    // One hash takes 19 MiB.
    assert!(grown < 12 << 20, "{} KiB more", grown >> 10);
}

#[tokio::test]
async fn a_crowd_of_large_bodies_is_not_held() {
    applies_here!();
    let relay = relay().await;
    let pid = relay.pid();
    let before = resident(pid);
    let body = vec![b' '; 1 << 20];
    let mut crowd = Vec::new();
    for _ in 0..60 {
        let mut raw = Raw::connect(relay.url()).await;
        // One byte more is announced than comes.
        let head = format!(
            "POST /web/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len() + 1
        );
        raw.send(head).await;
        // The relay may have answered and closed.
        let _ = raw.try_send(&body).await;
        crowd.push(raw);
    }
    let grown = resident(pid).saturating_sub(before);
    assert!(grown < 24 << 20, "{} KiB more for 60 MiB", grown >> 10);
    drop(crowd);
    let mut raw = Raw::connect(relay.url()).await;
    let small = Ask::post("/web/auth/login", vec![b' '; (8 << 10) + 1]);
    assert_eq!(raw.head_of(&small).await.status, 413);
}

#[tokio::test]
async fn a_flood_of_what_strangers_may_read_does_not_reach_the_store() {
    applies_here!();
    let r = ready().await;
    let plain = Client::new(r.relay.url());
    plain.get("/admin/oem-settings").await.good();
    plain.get("/health").await.good();
    let before = r.relay.upstash().commands();
    for _ in 0..50 {
        plain.get("/admin/oem-settings").await.good();
    }
    assert_eq!(r.relay.upstash().commands() - before, 0);
    for _ in 0..10 {
        login(&r.relay, "203.0.113.1", "a wrong one").await;
    }
    let before = r.relay.upstash().commands();
    for _ in 0..50 {
        login(&r.relay, "203.0.113.1", "a wrong one").await.expect(429);
    }
    assert_eq!(r.relay.upstash().commands() - before, 0);
}

#[tokio::test]
async fn a_session_says_when_it_ends_for_good() {
    let relay = setup().env("ADMIN_SESSION_MAX", 120_000).start().await;
    let session = relay.login().await;
    let user = session.get("/web/auth/user").await.good().json();
    let ends = user["user"]["sessionEndsAt"].clone();
    let fresh = session.post("/web/auth/refresh", &json!({})).await.good().json();
    assert!(fresh["expiresIn"].as_u64() <= Some(121_000), "{fresh}");
    let token = fresh["token"].as_str().expect("a token");
    let again = Client::new(relay.url()).with_bearer(token);
    let user = again.get("/web/auth/user").await.good().json();
    assert_eq!(user["user"]["sessionEndsAt"], ends);
}

#[tokio::test]
async fn the_audit_log_says_who_changed_what_and_from_where() {
    let relay = relay().await;
    let (username, password) = relay.first_login();
    login(&relay, "203.0.113.9", "a wrong one").await.expect(401);
    let session = login(&relay, "198.51.100.7", &password).await.good().json();
    let bearer = format!("Bearer {}", session["token"].as_str().expect("a token"));
    let call = |method: &str, path: &str| {
        Client::new(relay.url())
            .call(method, path)
            .header("authorization", &bearer)
            .header(ADDRESS, "198.51.100.7")
    };
    let made = call("POST", "/admin/api-keys")
        .json(&json!({"name": "bob", "dailyCostLimit": 10}))
        .send()
        .await
        .expect(201)
        .json();
    let id = made["id"].as_str().expect("an id");
    call("PATCH", &format!("/admin/api-keys/{id}"))
        .json(&json!({"dailyCostLimit": 5}))
        .send()
        .await
        .good();
    let log = call("GET", &format!("/admin/audit?subject=key:{id}"))
        .send()
        .await
        .good()
        .json();
    let items = log["items"].as_array().expect("entries");
    assert_eq!(items.len(), 2, "{log}");
    assert_eq!(
        items[0]["changes"],
        json!([{"field": "dailyCostLimit", "from": 10.0, "to": 5.0, "secret": false}])
    );
    for item in items {
        assert_eq!(
            (&item["actor"], &item["address"]),
            (&json!(username), &json!("198.51.100.7"))
        );
    }
    let all = call("GET", "/admin/audit").send().await.good().json();
    let refused = all["items"].as_array().expect("entries").iter();
    let refused: Vec<_> = refused.filter(|item| item["actor"] == "stranger").collect();
    assert_eq!(refused.len(), 1, "{all}");
    assert_eq!(refused[0]["address"], "203.0.113.0");
    let secret = made["key"].as_str().expect("a key");
    assert!(!all.to_string().contains(secret) && !all.to_string().contains(&password));
}

#[tokio::test]
async fn a_session_that_is_ended_stops_at_once() {
    let relay = relay().await;
    let (_, password) = relay.first_login();
    let mut tokens = Vec::new();
    for from in ["198.51.100.7", "198.51.100.8"] {
        let begun = login(&relay, from, &password).await.good().json();
        tokens.push(begun["token"].as_str().expect("a token").to_owned());
    }
    let [here, there] = tokens.as_slice() else {
        panic!("two sessions")
    };
    let of = |token: &str| Client::new(relay.url()).with_bearer(token);
    of(there).get("/admin/settings").await.good();
    let list = of(here).get("/web/auth/sessions").await.good().json();
    let items = list["items"].as_array().expect("sessions");
    let from = |address: &str| {
        let found = items.iter().find(|item| item["address"] == address);
        found.unwrap_or_else(|| panic!("{address} is not in {list}"))
    };
    let (own, other) = (from("198.51.100.7"), from("198.51.100.8"));
    assert_eq!(
        (&own["current"], &other["current"]),
        (&json!(true), &json!(false))
    );
    assert!(tokens.iter().all(|token| !list.to_string().contains(token)));

    let id = other["id"].as_str().expect("an id");
    let path = format!("/web/auth/sessions/{id}");
    of(here).call("DELETE", &path).send().await.expect(204);
    of(there).get("/admin/settings").await.expect(401);
    of(here).get("/admin/settings").await.good();
    of(here).call("DELETE", &path).send().await.expect(404);
    let list = of(here).get("/web/auth/sessions").await.good().json();
    assert!(!list.to_string().contains(id), "{list}");
    let log = of(here)
        .get(&format!("/admin/audit?subject=session:{id}"))
        .await
        .good()
        .json();
    assert_eq!(log["items"][0]["action"], "admin.end_session", "{log}");
}
