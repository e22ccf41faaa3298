//! Accounts of kinds that cannot serve a call are not among those that are asked.

use super::*;

fn of_kind(id: &str, kind: &str) -> AccountPolicy {
    AccountPolicy {
        kind: Some(kind.to_owned()),
        ..account(id)
    }
}

fn for_kinds(call: u128, kinds: &[&str]) -> Pick {
    Pick {
        kinds: Some(kinds.iter().map(|kind| (*kind).to_owned()).collect()),
        ..ask(call)
    }
}

#[test]
fn only_kinds_that_serve_the_call_are_given() {
    let preferred = AccountPolicy {
        priority: 1,
        ..of_kind("a", "login")
    };
    let mut pool = pool([preferred, of_kind("b", "key")]);
    assert_eq!(pool.given(T, ask(1)), "a");
    for call in 2..5 {
        assert_eq!(pool.given(T, for_kinds(call, &["key"])), "b");
    }
    assert_eq!(pool.given(T, for_kinds(5, &["key", "login"])), "a");
}

#[test]
fn accounts_of_other_kinds_are_no_reason_to_wait() {
    let full = AccountPolicy {
        max_concurrency: 1,
        ..of_kind("a", "login")
    };
    let mut pool = pool([full]);
    pool.given(T, for_kinds(1, &["login"]));
    let Reply::NobodyLeft { skipped, busy, .. } = pool.asks(T, for_kinds(2, &["key"])) else {
        panic!("somebody")
    };
    assert!(skipped.is_empty() && !busy, "{skipped:?}");
}

#[test]
fn a_session_leaves_an_account_that_cannot_serve_its_call() {
    let mut pool = pool([of_kind("a", "login"), of_kind("b", "key")]);
    let session = |pick| Pick {
        session: Some(7),
        ..pick
    };
    let account = pool.given(T, session(for_kinds(1, &["login"])));
    assert_eq!(account, "a");
    pool.reports(T, 1, "a", Outcome::Serving);
    pool.reports(T, 1, "a", Outcome::Finished);
    assert_eq!(pool.given(T, session(for_kinds(2, &["key"]))), "b");
}

#[test]
fn a_roster_of_an_older_version_is_read_again_before_kinds_are_asked_for() {
    let mut pool = alike(1);
    assert_eq!(pool.given(T, ask(1)), "a", "a call that needs no kind is served");
    assert_eq!(pool.asks(T, for_kinds(2, &["key"])), Reply::NeedRoster);
    // The store cannot be asked: better somebody than nobody.
    let blind = Pick {
        learned_since: 0,
        ..for_kinds(3, &["key"])
    };
    assert_eq!(pool.given(T, blind), "a");
    pool.learns(T, [of_kind("a", "key")]);
    assert_eq!(pool.given(T, for_kinds(4, &["key"])), "a");
}

#[test]
fn what_older_versions_wrote_is_read() {
    let mut policy = serde_json::to_value(account("a")).unwrap();
    policy.as_object_mut().unwrap().remove("kind");
    let read: AccountPolicy = serde_json::from_value(policy).unwrap();
    assert_eq!(read.kind, None);
    let mut pick = serde_json::to_value(ask(1)).unwrap();
    pick.as_object_mut().unwrap().remove("kinds");
    let read: Pick = serde_json::from_value(pick).unwrap();
    assert_eq!(read.kinds, None);
}
