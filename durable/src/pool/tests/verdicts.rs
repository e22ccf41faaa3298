//! One key's calls never make another key's worse.

use super::*;

fn of(holder: &str, call: u128) -> Pick {
    Pick {
        holder: holder.into(),
        ..ask(call)
    }
}

fn refused(request: u64) -> Outcome {
    Outcome::Refused {
        why: "403".into(),
        request,
    }
}

impl Pool {
    /// A call of this key on the account comes to that end.
    fn met(&mut self, now: Millis, call: u128, holder: &str, account: &str, outcome: Outcome) {
        let pick = Pick {
            holder: holder.into(),
            ..only(call, account)
        };
        assert_eq!(self.given(now, pick), account);
        self.reports(now, call, account, outcome);
    }

    fn kinds(&mut self, now: Millis, id: &str) -> Vec<(CooldownKind, Option<String>, Option<String>)> {
        let cooldowns = self.shows(now, id).cooldowns;
        cooldowns
            .into_iter()
            .map(|one| (one.kind, one.family, one.only))
            .collect()
    }
}

#[test]
fn what_one_key_was_refused_counts_for_that_key_and_model() {
    let mut pool = pool([
        account("a"),
        AccountPolicy {
            priority: 90,
            ..account("b")
        },
    ]);
    for request in 0..20 {
        pool.met(T, u128::from(request), "k1", "a", refused(request));
    }
    let opus = Some("opus".to_owned());
    assert_eq!(
        pool.kinds(T, "a"),
        [(CooldownKind::Refused, opus, Some("k1".to_owned()))]
    );
    assert_eq!(pool.shows(T, "a").denied, None);
    // The first by priority stays the first, but for that key.
    assert_eq!(pool.given(T, of("k1", 51)), "b");
    assert_eq!(pool.given(T, of("k2", 52)), "a");
    let haiku = Pick {
        family: "haiku".into(),
        ..of("k1", 53)
    };
    assert_eq!(pool.given(T, haiku), "a");
    // It never excludes.
    let left = Pick {
        tried: vec!["b".into()],
        ..of("k1", 54)
    };
    assert_eq!(pool.given(T, left), "a");
}

#[test]
fn different_requests_of_different_keys_mark_the_account() {
    let mut pool = alike(2);
    pool.met(T, 1, "k1", "a", refused(1));
    pool.met(T, 2, "k2", "a", refused(1));
    assert!(
        pool.kinds(T, "a").iter().all(|(.., only)| only.is_some()),
        "one request, shared by two keys, is no evidence"
    );
    pool.met(T, 3, "k2", "a", refused(2));
    let opus = Some("opus".to_owned());
    assert_eq!(pool.kinds(T, "a"), [(CooldownKind::Refused, opus, None)]);
    assert_eq!(pool.given(T, of("k3", 4)), "b");
    assert_eq!(
        pool.given(
            T,
            Pick {
                tried: vec!["b".into()],
                ..of("k3", 5)
            }
        ),
        "a",
        "it may be wrong, so it excludes nobody"
    );
    // A good answer ends it.
    pool.reports(T, 5, "a", Outcome::Serving);
    assert_eq!(pool.kinds(T, "a"), []);
}

#[test]
fn keys_that_were_refused_different_models_mark_all_of_the_account() {
    let mut pool = alike(2);
    pool.met(T, 1, "k1", "a", refused(1));
    let haiku = Pick {
        family: "haiku".into(),
        holder: "k2".into(),
        ..only(2, "a")
    };
    pool.given(T, haiku);
    pool.reports(T, 2, "a", refused(2));
    assert!(pool.kinds(T, "a").contains(&(CooldownKind::Refused, None, None)));
    let sonnet = Pick {
        family: "sonnet".into(),
        ..of("k3", 3)
    };
    assert_eq!(pool.given(T, sonnet), "b");
}

#[test]
fn evidence_is_forgotten_in_time_and_kept_over_a_restart() {
    let mut pool = alike(1);
    pool.met(T, 1, "k1", "a", refused(1));
    let kept = serde_json::to_string(&pool).unwrap();
    let mut restarted: Pool = serde_json::from_str::<Pool>(&kept).unwrap().resumed();
    restarted.learns(T, [account("a")]);
    restarted.met(T + 1, 2, "k2", "a", refused(2));
    assert!(
        restarted
            .kinds(T + 1, "a")
            .iter()
            .any(|(.., only)| only.is_none())
    );
    // Ten minutes later the first one's word is old.
    pool.met(T + 600_000, 2, "k2", "a", refused(2));
    assert!(
        pool.kinds(T + 600_000, "a")
            .iter()
            .all(|(.., only)| only.as_deref() == Some("k2"))
    );
}

#[test]
fn an_account_that_failed_one_key_comes_before_those_that_failed_several() {
    let mut pool = alike(4);
    for (call, id) in ["a", "b", "c"].into_iter().enumerate() {
        pool.met(T, 10 + call as u128, "k2", id, unwell());
        pool.met(T, 20 + call as u128, "k3", id, unwell());
    }
    // Whatever the first key sends, the good account stays the best of those in trouble.
    for call in 0..9 {
        pool.met(T, 100 + call, "k1", "d", unwell());
        pool.met(T, 200 + call, "k1", "d", guess());
    }
    assert_eq!(pool.given(T, of("k2", 1)), "d");
    assert_eq!(pool.given(T, of("k9", 2)), "d");
    assert_ne!(
        pool.given(T, of("k1", 3)),
        "d",
        "the key itself tries others first"
    );
}

#[test]
fn a_session_stays_where_only_another_key_met_trouble() {
    let mut pool = alike(2);
    let session = |call, holder: &str| Pick {
        session: Some(7),
        ..of(holder, call)
    };
    assert_eq!(pool.given(T, session(1, "k2")), "a");
    pool.met(T, 2, "k1", "a", unwell());
    assert_eq!(
        pool.given(T, of("k2", 3)),
        "b",
        "new conversations go where nobody met any"
    );
    assert_eq!(pool.given_sticky(T, session(4, "k2")), ("a".into(), true));
    pool.met(T, 5, "k2", "a", unwell());
    assert_eq!(pool.given_sticky(T, session(6, "k2")).0, "b");
}

#[test]
fn what_is_free_is_no_evidence() {
    let mut pool = alike(1);
    let free = Pick {
        slot: false,
        ..of("k1", 1)
    };
    pool.given(T, free);
    pool.reports(T, 1, "a", refused(1));
    assert_eq!(pool.kinds(T, "a"), []);
    pool.reports(T, 99, "a", refused(2));
    assert_eq!(pool.kinds(T, "a"), [], "nor is a call that nobody knows");
}
