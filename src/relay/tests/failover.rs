//! Another account serves, or the client gets the failure that helps it most.

use super::rig::{End, MS, Reply, Rig, Setup};
use crate::port::upstream::UpstreamErrorKind;

/// Answers after which another account is tried, by name.
fn troubles() -> Vec<(&'static str, Reply)> {
    vec![
        ("500", Reply::error(500, "api_error")),
        ("502 page", Reply::page(502)),
        ("503", Reply::error(503, "api_error")),
        ("529", Reply::error(529, "overloaded_error")),
        (
            "429",
            Reply::error(429, "rate_limit_error").header("retry-after", "30"),
        ),
        ("401", Reply::error(401, "authentication_error")),
        ("403", Reply::error(403, "permission_error")),
        ("connect", Reply::unreachable(UpstreamErrorKind::Connect)),
        ("tls", Reply::unreachable(UpstreamErrorKind::Tls)),
        ("proxy", Reply::unreachable(UpstreamErrorKind::Proxy)),
        ("broken", Reply::unreachable(UpstreamErrorKind::Broken)),
        ("stale twice", Reply::unreachable(UpstreamErrorKind::Stale)),
        ("no head", Reply::hangs()),
        ("no body", Reply::message().cut(0, End::Closed)),
        ("no first byte", Reply::message().cut(0, End::Silent)),
        (
            "broken before its first byte",
            Reply::stream().cut(0, End::Broken),
        ),
        ("page in place of an answer", Reply::page(200)),
        (
            "error event",
            Reply::whole(
                200,
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
            ),
        ),
        (
            "error that breaks off",
            Reply::error(500, "api_error").cut(0, End::Broken),
        ),
        (
            "error that never ends",
            Reply::error(500, "api_error").cut(0, End::Silent),
        ),
    ]
}

/// A provider has 30 seconds to its first byte, so that three of them have their turn.
fn patient() -> Rig {
    Rig::with(&Setup {
        vars: vec![("REQUEST_TIMEOUT", "30000")],
        ..Setup::default()
    })
}

#[test]
fn each_trouble_of_one_account_leaves_the_call_to_the_next() {
    for (name, trouble) in troubles() {
        for stream in [false, true] {
            let rig = patient();
            rig.account("first", 1);
            rig.account("second", 2);
            rig.provider.script("first", [trouble.clone()]);
            let good = if stream { Reply::stream() } else { Reply::message() };
            rig.provider.script("second", [good]);
            let received = rig.served(stream);
            assert_eq!(received.status, Some(200), "{name}: {received:?}");
            assert!(
                received.text.contains("words") && received.broken.is_none(),
                "{name}"
            );
            let called = rig.provider.called();
            assert_eq!(called.last().unwrap(), "second", "{name}");
            assert!(
                called[..called.len() - 1].iter().all(|by| by == "first"),
                "{name}"
            );
            let events = rig.settled();
            assert_eq!(events.len(), 1, "{name}");
            assert_eq!(events[0].account_id, "second", "{name}");
            assert_eq!((events[0].status, &events[0].error), (200, &None), "{name}");
            assert_eq!(events[0].attempts as usize, called.len(), "{name}");
            assert_eq!(
                (events[0].tokens.input, events[0].tokens.output),
                (10, 5),
                "{name}"
            );
        }
    }
}

#[test]
fn each_trouble_of_every_account_is_one_error_and_three_attempts_at_most() {
    for (name, trouble) in troubles() {
        let rig = patient();
        for (account, priority) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            rig.account(account, priority);
            rig.provider.script(account, [trouble.clone()]);
        }
        let received = rig.served(false);
        assert!(received.status.is_some_and(|status| status >= 400), "{name}");
        let (kind, message) = received.error();
        assert!(
            !kind.is_empty() && !message.is_empty(),
            "{name}: {}",
            received.text
        );
        assert!(!received.text.contains("<html>"), "{name}: {}", received.text);
        let accounts: std::collections::BTreeSet<String> = rig.provider.called().into_iter().collect();
        assert!(accounts.len() <= 3, "{name}: {accounts:?}");
        assert!(!accounts.contains("d"), "{name}: {accounts:?}");
        let events = rig.settled();
        assert_eq!(events.len(), 1, "{name}");
        assert_eq!(Some(events[0].status), received.status, "{name}");
        assert!(events[0].error.is_some(), "{name}");
    }
}

#[test]
fn the_clients_own_mistake_is_told_at_once_and_as_it_came() {
    for (status, kind) in [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
    ] {
        let rig = Rig::new();
        rig.account("a", 1);
        rig.account("b", 2);
        rig.provider.script("a", [Reply::error(status, kind)]);
        rig.provider.script("b", [Reply::message()]);
        let received = rig.served(false);
        if rig.provider.called() == ["a"] {
            assert_eq!(received.status, Some(status));
            assert_eq!(received.error().0, kind);
        } else {
            // What may be about the account is asked of another.
            assert_eq!(rig.provider.called(), ["a", "b"], "{status}");
            assert_eq!(received.status, Some(200));
        }
        assert_eq!(rig.settled().len(), 1);
    }
}

#[test]
fn a_refusal_that_two_accounts_agree_on_is_told_in_the_providers_words() {
    let rig = Rig::new();
    for (account, priority) in [("a", 1), ("b", 2), ("c", 3)] {
        rig.account(account, priority);
        rig.provider
            .script(account, [Reply::error(403, "permission_error")]);
    }
    let received = rig.served(false);
    assert_eq!(received.status, Some(403));
    assert_eq!(received.error().1, "a permission_error of the script");
    assert_eq!(rig.provider.called(), ["a", "b"]);
    assert_eq!(rig.settled().len(), 1);
}

#[test]
fn a_stale_connection_costs_no_account() {
    let rig = Rig::new();
    rig.account("a", 1);
    let stale = Reply::unreachable(UpstreamErrorKind::Stale);
    rig.provider.script("a", [stale, Reply::message()]);
    assert_eq!(rig.served(false).status, Some(200));
    assert_eq!(rig.provider.called(), ["a", "a"]);
    assert_eq!(rig.in_pool("a").backoff_until, None);
    assert_eq!(rig.settled().len(), 1);
}

#[test]
fn a_limit_is_remembered_until_it_ends_and_the_client_is_told_when() {
    let rig = Rig::new();
    rig.account("a", 1);
    let limited = Reply::error(429, "rate_limit_error").header("retry-after", "30");
    rig.provider.script("a", [limited, Reply::message()]);
    let received = rig.served(false);
    assert_eq!(received.status, Some(429));
    let wait: u64 = received.headers["retry-after"].parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    // The next call is not sent.
    assert_eq!(rig.served(false).status, Some(429));
    assert_eq!(rig.provider.called().len(), 1);
    rig.pass(MS(wait * 1000 + 1000));
    assert_eq!(rig.served(false).status, Some(200));
    assert_eq!(rig.settled().len(), 2);
}

#[test]
fn without_accounts_the_client_hears_whom_to_ask() {
    let rig = Rig::new();
    let received = rig.served(false);
    assert_eq!(received.status, Some(503));
    assert!(
        received.error().1.contains("No account is set up"),
        "{}",
        received.text
    );
    assert!(rig.settled().is_empty(), "no provider was called");
}

#[test]
fn what_has_begun_is_not_begun_again() {
    for end in [End::Broken, End::Closed] {
        for frames in 1..4 {
            let rig = Rig::new();
            rig.account("a", 1);
            rig.account("b", 2);
            rig.provider.script("a", [Reply::stream().cut(frames, end)]);
            let received = rig.served(true);
            // The usage and the reason to stop are in the third frame: after it nothing is lost.
            let said_all = frames == 3 && end == End::Broken;
            let told = received.text.contains("event: error");
            assert!(
                told || said_all || frames == 3,
                "{frames} {end:?}: {}",
                received.text
            );
            assert_eq!(rig.provider.called(), ["a"]);
            let events = rig.settled();
            assert_eq!(events.len(), 1);
            assert_eq!(events[0].tokens.input, 10, "what was used is billed");
        }
    }
}
