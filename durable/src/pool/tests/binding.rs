use super::*;

fn group(id: &str, groups: &[&str], shared: bool) -> AccountPolicy {
    AccountPolicy {
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        shared,
        ..account(id)
    }
}

fn to_account(call: u128, id: &str) -> Pick {
    Pick {
        binding: Some(Binding::Account(id.into())),
        ..ask(call)
    }
}

fn to_group(call: u128, id: &str) -> Pick {
    Pick {
        binding: Some(Binding::Group(id.into())),
        ..ask(call)
    }
}

fn or_any(pick: Pick) -> Pick {
    Pick {
        fallback: true,
        ..pick
    }
}

/// The account, and whether the call is bound to it.
fn bound(pool: &mut Pool, now: Millis, pick: Pick) -> (String, bool) {
    match pool.asks(now, pick) {
        Reply::Picked { account, bound, .. } => (account, bound),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bound_call_is_never_given_anything_else() {
    let mut pool = alike(3);
    for call in 0..6 {
        assert_eq!(bound(&mut pool, T, to_account(call, "b")), ("b".into(), true));
    }
    pool.reports(T, 0, "b", unwell());
    assert_eq!(
        pool.given(T, to_account(7, "b")),
        "b",
        "back-off sends nobody away"
    );
    pool.reports(T, 1, "b", throttled(T + 9_000));
    let nobody = pool.nobody(T, to_account(8, "b"));
    assert_eq!(
        (nobody.bound, nobody.earliest),
        (Some(BindingFailure::Unable), Some(T + 9_000))
    );
    // The others are none of its business.
    let ids: Vec<_> = nobody.skipped.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["b"]);
    let nobody = pool.nobody(T, to_account(8, "gone"));
    assert_eq!(
        (nobody.bound, nobody.skipped),
        (Some(BindingFailure::Missing), vec![])
    );
}

#[test]
fn a_full_account_of_its_own_is_waited_for() {
    let mut pool = pool([
        AccountPolicy {
            max_concurrency: 1,
            ..account("a")
        },
        account("b"),
    ]);
    pool.given(T, to_account(1, "a"));
    let nobody = pool.nobody(T, to_account(2, "a"));
    assert_eq!((nobody.busy, nobody.bound), (true, Some(BindingFailure::Unable)));
    assert_eq!(
        bound(&mut pool, T, or_any(to_account(2, "a"))),
        ("b".into(), false)
    );
    pool.reports(T, 1, "a", Outcome::Finished);
    assert_eq!(
        bound(&mut pool, T, or_any(to_account(3, "a"))),
        ("a".into(), true)
    );
}

#[test]
fn a_group_is_chosen_from_like_a_pool() {
    let mut pool = pool([
        account("a"),
        group("b", &["x"], true),
        group("c", &["x", "y"], false),
        AccountPolicy {
            priority: 60,
            ..group("d", &["x"], false)
        },
    ]);
    let given: Vec<_> = (0..4).map(|call| pool.given(T, to_group(call, "x"))).collect();
    assert_eq!(given, ["b", "c", "b", "c"]);
    assert_eq!(bound(&mut pool, T, to_group(4, "y")), ("c".into(), true));
    assert_eq!(
        pool.nobody(T, to_group(5, "z")).bound,
        Some(BindingFailure::Missing)
    );
    let tried = Pick {
        tried: ["b", "c"].map(str::to_owned).into(),
        ..to_group(6, "x")
    };
    assert_eq!(pool.given(T, tried), "d");
}

#[test]
fn a_dedicated_account_serves_only_calls_bound_to_it() {
    let mut pool = pool([group("a", &["x"], false), account("b")]);
    for call in 0..4 {
        assert_eq!(bound(&mut pool, T, ask(call)), ("b".into(), false));
    }
    let (given, skipped) = pool.given_past(T, ask(4));
    assert_eq!(
        (given.as_str(), skipped),
        ("b", vec![("a".into(), Skip::Dedicated)])
    );
    assert_eq!(pool.given(T, to_account(5, "a")), "a");
    assert_eq!(pool.given(T, to_group(6, "x")), "a");
    // Falling back is into the common pool, never onto what is dedicated to others.
    let nobody = pool.nobody(
        T,
        Pick {
            tried: vec!["b".into()],
            ..or_any(to_group(7, "z"))
        },
    );
    let skipped = [("a".into(), Skip::Dedicated), ("b".into(), Skip::Tried)];
    assert_eq!(
        (nobody.bound, nobody.skipped),
        (Some(BindingFailure::Missing), skipped.into())
    );
    assert_eq!(
        pool.given(T, only(8, "a")),
        "a",
        "the operator tests what he likes"
    );
}

#[test]
fn a_call_that_may_falls_back_only_if_it_must() {
    let mut pool = pool([
        AccountPolicy {
            priority: 99,
            ..group("a", &["x"], true)
        },
        account("b"),
    ]);
    let pick = |call| or_any(to_group(call, "x"));
    assert_eq!(bound(&mut pool, T, pick(1)), ("a".into(), true));
    pool.reports(T, 1, "a", unwell());
    assert_eq!(
        bound(&mut pool, T, pick(2)),
        ("a".into(), true),
        "even from back-off"
    );
    pool.reports(T, 2, "a", throttled(T + 9_000));
    assert_eq!(bound(&mut pool, T, pick(3)), ("b".into(), false));
    assert_eq!(
        bound(&mut pool, T, pick(3)),
        ("b".into(), false),
        "its answer was lost"
    );
    assert_eq!(
        pool.nobody(T, to_group(3, "x")).bound,
        Some(BindingFailure::Unable)
    );
    assert_eq!(bound(&mut pool, T + 9_000, pick(4)), ("a".into(), true));
}

#[test]
fn a_session_comes_back_from_a_fallback() {
    let mut pool = pool([group("a", &["x"], true), account("b"), account("c")]);
    let pick = |call| Pick {
        session: Some(7),
        ..or_any(to_group(call, "x"))
    };
    assert_eq!(pool.given_sticky(T, pick(1)), ("a".into(), false));
    pool.reports(T, 1, "a", throttled(T + 9_000));
    assert_eq!(pool.given_sticky(T, pick(2)), ("b".into(), false));
    pool.given(T, only(3, "b"));
    assert_eq!(
        pool.given_sticky(T, pick(4)),
        ("b".into(), true),
        "though c is less busy"
    );
    assert_eq!(pool.given_sticky(T + 9_000, pick(5)), ("a".into(), false));
    assert_eq!(pool.given_sticky(T + 9_000, pick(6)), ("a".into(), true));
}

#[test]
fn a_session_does_not_outlive_a_new_binding() {
    let mut pool = alike(2);
    assert_eq!(pool.given(T, with_session(1, 7)), "a");
    let pick = |call| Pick {
        session: Some(7),
        ..to_account(call, "b")
    };
    assert_eq!(pool.given_sticky(T, pick(2)), ("b".into(), false));
    assert_eq!(pool.given_sticky(T, pick(3)), ("b".into(), true));
    // And what a call holds is taken away if it may not have it.
    assert_eq!(pool.given(T, pick(1)), "b");
    assert_eq!(pool.holders(T, "a"), []);
}

#[test]
fn an_account_serves_the_models_it_supports() {
    let supports = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let mut pool = pool([
        AccountPolicy {
            supported_models: supports(&["Claude-Opus-4-5"]),
            ..account("a")
        },
        AccountPolicy {
            supported_models: supports(&["claude-haiku-4-5", "my-model"]),
            ..account("b")
        },
        AccountPolicy {
            supported_models: supports(&[]),
            ..account("c")
        },
    ]);
    let pick = |call, model: &str| Pick {
        model: model.into(),
        ..ask(call)
    };
    assert_eq!(pool.given(T, pick(1, "claude-opus-4-5")), "a");
    assert_eq!(pool.given(T, pick(2, "my-model")), "b");
    let skip = || Skip::Model {
        model: "gpt-5".into(),
    };
    let nobody = pool.nobody(T, pick(3, "gpt-5"));
    assert_eq!(nobody.skipped, ["a", "b", "c"].map(|id| (id.to_owned(), skip())));
    assert_eq!(nobody.earliest, None, "waiting does not help");
    assert_eq!(pool.given(T, pick(4, "")), "c", "it names none");
    // A session moves for a model its account does not have.
    let session = |call, model: &str| Pick {
        session: Some(7),
        ..pick(call, model)
    };
    assert_eq!(pool.given_sticky(T, session(5, "my-model")), ("b".into(), false));
    assert_eq!(
        pool.given_sticky(T, session(6, "CLAUDE-OPUS-4-5")),
        ("a".into(), false)
    );
}

#[test]
fn a_subscription_ends_at_its_end() {
    let mut pool = pool([
        AccountPolicy {
            expires_at: Some(T + HOUR),
            ..account("a")
        },
        AccountPolicy {
            priority: 60,
            ..account("b")
        },
    ]);
    assert_eq!(pool.given(T + HOUR - 1, with_session(1, 7)), "a");
    let (given, skipped) = pool.given_past(T + HOUR, with_session(2, 7));
    assert_eq!(
        (given.as_str(), skipped),
        ("b", vec![("a".into(), Skip::Expired { at: T + HOUR })])
    );
    assert_eq!(pool.nobody(T + HOUR, to_account(3, "a")).earliest, None);
}
