//! OAuth tokens: one refresher, and what everybody else gets.

use std::sync::atomic::Ordering;

use super::rig::{MS, Reply, Rig, TOKENS};
use crate::model::account::live::Credentials;

const NOW: u64 = super::rig::NOW;
const HOUR: u64 = 3_600_000;

/// A login whose token has ended, and a provider that gives it a new one.
fn ended() -> Rig {
    let rig = Rig::new();
    rig.login("l", 1, NOW - 1);
    rig.provider.script(TOKENS, [Reply::tokens("l-2", "l-refresh-2")]);
    rig.provider.script("l-2", [Reply::message()]);
    rig
}

fn tokens(rig: &Rig) -> (String, String) {
    let live = super::rig::at_once(rig.app.accounts.fresh("l")).unwrap().unwrap();
    match &live.credentials {
        Credentials::OAuth {
            access_token,
            refresh_token,
            ..
        } => (
            access_token.reveal().to_owned(),
            refresh_token.as_ref().unwrap().reveal().to_owned(),
        ),
        _ => panic!("no login"),
    }
}

#[test]
fn a_crowd_has_one_refresher_and_everybody_the_new_token() {
    for crowd in [1, 2, 20, 200] {
        let rig = ended();
        let calls: Vec<_> = (0..crowd).map(|_| rig.call(false)).collect();
        rig.finish(&calls.iter().collect::<Vec<_>>());
        assert!(calls.iter().all(|call| call.received().status == Some(200)));
        assert_eq!(rig.provider.renewals(), 1, "{crowd}");
        assert_eq!(rig.provider.called(), vec!["l-2"; crowd]);
        assert_eq!(tokens(&rig), ("l-2".to_owned(), "l-refresh-2".to_owned()));
        assert_eq!(rig.settled().len(), crowd);
    }
}

#[test]
fn a_token_that_ends_soon_delays_nobody() {
    let rig = Rig::new();
    rig.login("l", 1, NOW + 30_000);
    rig.provider
        .script(TOKENS, [Reply::tokens("l-2", "l-refresh-2").after(MS(9_000))]);
    rig.provider.script("l-1", [Reply::message()]);
    rig.provider.script("l-2", [Reply::message()]);
    let received = rig.served(false);
    assert_eq!((received.status, received.end_ms), (Some(200), 25));
    rig.pass(MS(10_000));
    assert_eq!(rig.served(false).status, Some(200));
    assert_eq!(rig.provider.called(), ["l-1", "l-2"]);
    assert_eq!(rig.provider.renewals(), 1);
    assert_eq!(rig.settled().len(), 2);
}

#[test]
fn a_refused_renewal_is_told_to_everybody_and_never_tried_again() {
    let rig = ended();
    rig.account("k", 2);
    rig.provider.script("k", [Reply::message()]);
    let refused = Reply::whole(400, r#"{"error":"invalid_grant","error_description":"gone"}"#);
    rig.provider.script(TOKENS, [refused.after(MS(500))]);
    let calls: Vec<_> = (0..20).map(|_| rig.call(false)).collect();
    rig.finish(&calls.iter().collect::<Vec<_>>());
    assert!(calls.iter().all(|call| call.received().status == Some(200)));
    assert_eq!(
        rig.provider.called(),
        vec!["k"; 20],
        "the other account serves them"
    );
    rig.served(false);
    assert_eq!(rig.provider.renewals(), 1);
    assert!(rig.in_pool("l").denied.is_some());
    assert_eq!(rig.settled().len(), 21);
}

#[test]
fn a_renewal_that_fails_is_tried_again_later() {
    for trouble in [
        Reply::error(500, "api_error"),
        Reply::whole(200, "<html>"),
        Reply::unreachable(crate::port::upstream::UpstreamErrorKind::Connect),
        Reply::hangs(),
    ] {
        let rig = ended();
        rig.provider
            .script(TOKENS, [trouble, Reply::tokens("l-2", "l-refresh-2")]);
        let first = rig.served(false);
        assert!(first.status.is_some_and(|status| status >= 500), "{first:?}");
        assert_eq!(rig.in_pool("l").denied, None, "no new login is needed");
        rig.pass(MS(10 * 60_000));
        assert_eq!(rig.served(false).status, Some(200));
        assert_eq!(rig.provider.renewals(), 2);
        assert_eq!(rig.settled().len(), 1, "the first call reached no provider");
    }
}

#[test]
fn the_tokens_are_persisted_though_the_client_has_left() {
    // The exchange takes 25 ms.
    for ms in [0, 1, 19, 20, 24, 25] {
        let rig = ended();
        let client = rig.call(false);
        rig.pass(MS(ms));
        client.leaves();
        rig.pass(MS(1_000));
        assert_eq!(tokens(&rig).1, "l-refresh-2", "left after {ms} ms");
        assert_eq!(rig.served(false).status, Some(200));
        assert_eq!(rig.provider.renewals(), 1, "left after {ms} ms");
        rig.settled();
    }
}

#[test]
fn those_who_wait_are_served_though_the_elected_client_has_left() {
    let rig = ended();
    let elected = rig.call(false);
    rig.run();
    let waiting: Vec<_> = (0..5).map(|_| rig.call(false)).collect();
    rig.pass(MS(10));
    elected.leaves();
    rig.finish(&waiting.iter().collect::<Vec<_>>());
    assert!(waiting.iter().all(|call| call.received().status == Some(200)));
    assert_eq!(rig.provider.renewals(), 1);
    assert_eq!(rig.settled().len(), 5);
}

#[test]
fn a_read_that_fails_after_the_renewal_fails_no_call() {
    for reads in [1, 2, 4] {
        let rig = ended();
        let calls: Vec<_> = (0..20).map(|_| rig.call(false)).collect();
        rig.run();
        // The next atomic batch stores the new token.
        rig.store.fail_reads_after.store(reads, Ordering::SeqCst);
        rig.finish(&calls.iter().collect::<Vec<_>>());
        assert_eq!(rig.store.fail_reads_after.load(Ordering::SeqCst), 0);
        assert!(
            calls.iter().all(|call| call.received().status == Some(200)),
            "{reads} failed reads"
        );
        assert_eq!(rig.provider.renewals(), 1);
        assert_eq!(rig.settled().len(), 20);
    }
}

#[test]
fn new_tokens_outlive_a_store_that_is_away() {
    for away_ms in [5, 100, 5_000, 60_000] {
        let rig = ended();
        let client = rig.call(false);
        rig.pass(MS(22));
        rig.store.away.store(true, Ordering::SeqCst);
        rig.pass(MS(away_ms));
        rig.store.away.store(false, Ordering::SeqCst);
        rig.finish(&[&client]);
        rig.pass(MS(60_000));
        assert_eq!(
            tokens(&rig),
            ("l-2".to_owned(), "l-refresh-2".to_owned()),
            "{away_ms}"
        );
        assert_eq!(rig.served(false).status, Some(200), "{away_ms}");
        assert_eq!(
            rig.provider.renewals(),
            1,
            "the old refresh token is spent once: {away_ms}"
        );
        rig.settled();
    }
}

#[test]
fn a_refused_token_is_renewed_once_and_the_call_sent_again() {
    let rig = Rig::new();
    rig.login("l", 1, NOW + 10 * HOUR);
    rig.provider
        .script("l-1", [Reply::error(401, "authentication_error")]);
    rig.provider.script(TOKENS, [Reply::tokens("l-2", "l-refresh-2")]);
    rig.provider.script("l-2", [Reply::message()]);
    assert_eq!(rig.served(false).status, Some(200));
    assert_eq!(rig.provider.called(), ["l-1", "l-2"]);
    let events = rig.settled();
    assert_eq!((events.len(), events[0].attempts), (1, 2));
}

#[test]
fn a_token_that_is_refused_even_when_new_leaves_the_call_to_others() {
    let rig = Rig::new();
    rig.login("l", 1, NOW + 10 * HOUR);
    rig.account("k", 2);
    let refused = || Reply::error(401, "authentication_error");
    rig.provider.script("l-1", [refused()]);
    rig.provider.script("l-2", [refused()]);
    rig.provider.script(TOKENS, [Reply::tokens("l-2", "l-refresh-2")]);
    rig.provider.script("k", [Reply::message()]);
    for _ in 0..5 {
        assert_eq!(rig.served(false).status, Some(200));
    }
    assert_eq!(
        rig.provider.renewals(),
        1,
        "refusals alone renew no token again and again"
    );
    assert_eq!(rig.provider.called()[..3], ["l-1", "l-2", "k"]);
    assert_eq!(rig.settled().len(), 5);
}

#[test]
fn a_crowd_whose_token_is_refused_has_one_refresher() {
    let rig = Rig::new();
    rig.login("l", 1, NOW + 10 * HOUR);
    rig.provider
        .script("l-1", [Reply::error(401, "authentication_error")]);
    rig.provider.script(TOKENS, [Reply::tokens("l-2", "l-refresh-2")]);
    rig.provider.script("l-2", [Reply::message()]);
    let calls: Vec<_> = (0..50).map(|_| rig.call(false)).collect();
    rig.finish(&calls.iter().collect::<Vec<_>>());
    assert!(calls.iter().all(|call| call.received().status == Some(200)));
    assert_eq!(rig.provider.renewals(), 1);
    assert_eq!(rig.settled().len(), 50);
}

#[test]
fn a_crowd_on_a_service_account_signs_once() {
    for crowd in [1, 20] {
        let rig = Rig::new();
        rig.service_account("s", 1);
        let token = r#"{"access_token":"s-1","expires_in":3599,"token_type":"Bearer"}"#;
        rig.provider.script(TOKENS, [Reply::whole(200, token)]);
        rig.provider.script("s-1", [Reply::message()]);
        let calls: Vec<_> = (0..crowd).map(|_| rig.call(false)).collect();
        rig.finish(&calls.iter().collect::<Vec<_>>());
        assert!(calls.iter().all(|call| call.received().status == Some(200)));
        assert_eq!(rig.provider.renewals(), 1, "{crowd}");
        let asked = rig.provider.asked().swap_remove(0);
        let form = String::from_utf8(asked.body.to_vec()).unwrap();
        // "0key|eyJ...", as the scripted signer signs.
        assert!(
            form.contains("&assertion=eyJ") && form.contains(".MGtleXxleUp"),
            "{form}"
        );
        // The token ends within a minute: the next call gets a new one, and delays nobody.
        rig.pass(MS(HOUR - 30_000));
        assert_eq!(rig.served(false).status, Some(200));
        rig.pass(MS(1_000));
        assert_eq!(rig.provider.renewals(), 2, "{crowd}");
        rig.settled();
    }
}

#[test]
fn a_refused_token_of_a_service_account_is_renewed_and_the_call_sent_again() {
    let rig = Rig::new();
    rig.service_account("s", 1);
    let token = |name: &str| {
        let body = format!(r#"{{"access_token":"{name}","expires_in":3599,"token_type":"Bearer"}}"#);
        Reply::whole(200, &body)
    };
    rig.provider.script(TOKENS, [token("s-1"), token("s-2")]);
    rig.provider.script(
        "s-1",
        [Reply::message(), Reply::error(401, "authentication_error")],
    );
    rig.provider.script("s-2", [Reply::message()]);
    assert_eq!(rig.served(false).status, Some(200));
    rig.pass(MS(HOUR / 2));
    assert_eq!(rig.served(false).status, Some(200));
    assert_eq!(rig.provider.called(), ["s-1", "s-1", "s-2"]);
    assert_eq!(rig.provider.renewals(), 2);
    assert_eq!(rig.in_pool("s").denied, None);
    rig.settled();
}

#[test]
fn a_refused_service_account_needs_another_key() {
    let rig = Rig::new();
    rig.service_account("s", 1);
    rig.account("k", 2);
    rig.provider.script("k", [Reply::message()]);
    let refused = r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
    rig.provider.script(TOKENS, [Reply::whole(400, refused)]);
    for _ in 0..2 {
        assert_eq!(rig.served(false).status, Some(200));
    }
    assert_eq!(rig.provider.called(), ["k", "k"]);
    assert_eq!(rig.provider.renewals(), 1);
    let denied = rig.in_pool("s").denied.expect("marked");
    assert!(denied.0.contains("Invalid JWT Signature."), "{denied:?}");
}

#[test]
fn a_key_that_is_replaced_meanwhile_is_used() {
    let rig = Rig::new();
    rig.service_account("s", 1);
    let token = r#"{"access_token":"s-1","expires_in":3599,"token_type":"Bearer"}"#;
    rig.provider.script(
        TOKENS,
        [Reply::whole(200, token).after(MS(500)), Reply::whole(200, token)],
    );
    rig.provider.script("s-1", [Reply::message()]);
    let call = rig.call(false);
    rig.pass(MS(100));
    rig.replace_key("s");
    rig.finish(&[&call]);
    assert_eq!(call.received().status, Some(200));
    assert_eq!(rig.provider.renewals(), 2, "the first token was for the old key");
    assert_eq!(rig.in_pool("s").denied, None);
    rig.settled();
}

/// What Entra gives an application.
fn entra_token(name: &str) -> Reply {
    let body = format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{name}"}}"#);
    Reply::whole(200, &body)
}

#[test]
fn a_crowd_on_an_entra_application_asks_for_one_token() {
    for crowd in [1, 200] {
        let rig = Rig::new();
        rig.entra_app("e", 1);
        rig.provider.script(
            TOKENS,
            [entra_token("e-1"), entra_token("e-2"), entra_token("e-3")],
        );
        for token in ["e-1", "e-2", "e-3"] {
            rig.provider.script(token, [Reply::completion()]);
        }
        let at_once = || {
            let calls: Vec<_> = (0..crowd).map(|_| rig.openai_call()).collect();
            rig.finish(&calls.iter().collect::<Vec<_>>());
            assert!(calls.iter().all(|call| call.received().status == Some(200)));
        };
        at_once();
        assert_eq!(rig.provider.renewals(), 1, "{crowd}");
        let form = String::from_utf8(rig.provider.asked().swap_remove(0).body.to_vec()).unwrap();
        assert!(
            form.contains("&client_secret=e-secret&") && form.ends_with("&grant_type=client_credentials"),
            "{form}"
        );
        // It has ended: everybody waits for the new one.
        rig.pass(MS(2 * HOUR));
        at_once();
        assert_eq!(rig.provider.renewals(), 2, "{crowd}");
        // It ends within a minute: nobody waits.
        rig.pass(MS(HOUR - 30_000));
        at_once();
        rig.pass(MS(1_000));
        at_once();
        assert_eq!(rig.provider.renewals(), 3, "{crowd}");
        let called = [
            ["e-1"].repeat(crowd),
            ["e-2"].repeat(2 * crowd),
            ["e-3"].repeat(crowd),
        ];
        assert_eq!(rig.provider.called(), called.concat());
        rig.settled();
    }
}

#[test]
fn a_refused_token_of_an_entra_application_is_renewed_and_the_call_sent_again() {
    let rig = Rig::new();
    rig.entra_app("e", 1);
    rig.provider
        .script(TOKENS, [entra_token("e-1"), entra_token("e-2")]);
    let refused =
        r#"{"error":{"code":"Unauthorized","message":"Access token is missing, invalid, or have expired."}}"#;
    rig.provider
        .script("e-1", [Reply::completion(), Reply::whole(401, refused)]);
    rig.provider.script("e-2", [Reply::completion()]);
    for _ in 0..2 {
        let call = rig.openai_call();
        rig.finish(&[&call]);
        assert_eq!(call.received().status, Some(200));
        rig.pass(MS(HOUR / 2));
    }
    assert_eq!(rig.provider.called(), ["e-1", "e-1", "e-2"]);
    assert_eq!(rig.provider.renewals(), 2);
    assert_eq!(rig.in_pool("e").denied, None);
    rig.settled();
}

#[test]
fn a_refused_secret_of_an_entra_application_is_told_without_it() {
    let rig = Rig::new();
    rig.entra_app("e", 1);
    let refused = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: 'e-secret'.\r\nTrace ID: 0"}"#;
    rig.provider.script(TOKENS, [Reply::whole(401, refused)]);
    for _ in 0..2 {
        let call = rig.openai_call();
        rig.finish(&[&call]);
        let received = call.received();
        assert!(
            received.status.is_some_and(|status| status >= 400),
            "{received:?}"
        );
        assert!(!received.text.contains("e-secret"), "{received:?}");
    }
    assert_eq!(rig.provider.renewals(), 1);
    let (why, until) = rig.in_pool("e").denied.expect("marked");
    assert_eq!(until, None);
    assert!(
        why.contains("AADSTS7000215: Invalid client secret provided: '********'") && !why.contains("Trace"),
        "{why}"
    );
}

#[test]
fn any_other_trouble_with_an_entra_application_is_tried_again_later() {
    let unknown = r#"{"error":"invalid_resource","error_description":"AADSTS500011: The resource principal was not found."}"#;
    for trouble in [Reply::whole(400, unknown), Reply::whole(503, ""), Reply::hangs()] {
        let rig = Rig::new();
        rig.entra_app("e", 1);
        rig.provider.script(TOKENS, [trouble, entra_token("e-1")]);
        rig.provider.script("e-1", [Reply::completion()]);
        let call = rig.openai_call();
        rig.finish(&[&call]);
        assert!(call.received().status.is_some_and(|status| status >= 400));
        assert_eq!(rig.in_pool("e").denied, None);
        rig.pass(MS(10 * 60_000));
        let call = rig.openai_call();
        rig.finish(&[&call]);
        assert_eq!(call.received().status, Some(200));
        assert_eq!(rig.provider.renewals(), 2);
        rig.settled();
    }
}
