use super::*;

const RESPONSE: u64 = 70;
const OTHER: u64 = 71;
const REASONING: u64 = 80;

fn strict(id: u64) -> Origin {
    Origin { id, loose: false }
}

fn loose(id: u64) -> Origin {
    Origin { id, loose: true }
}

fn refers(call: u128, origins: &[Origin]) -> Pick {
    Pick {
        origins: origins.to_vec(),
        ..ask(call)
    }
}

impl Pool {
    /// A call that the account serves well, and what its answer makes.
    fn makes(&mut self, now: Millis, pick: Pick, made: &[Origin]) -> String {
        let call = pick.call;
        let account = self.given(now, pick);
        self.tells(
            now,
            Report {
                served: true,
                made: made.to_vec(),
                ..Report::of(call, account.clone(), Outcome::Finished)
            },
        );
        account
    }

    fn origin_of(&mut self, now: Millis, pick: Pick) -> (Option<String>, Option<u64>) {
        match self.asks(now, pick) {
            Reply::Picked { account, origin, .. } => (Some(account), origin),
            Reply::NobodyLeft { origin, .. } => (None, origin),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_an_account_made_is_asked_of_it() {
    let mut pool = alike(3);
    assert_eq!(pool.makes(T, ask(1), &[strict(RESPONSE)]), "a");
    assert_eq!(pool.makes(T, ask(2), &[]), "b");
    for call in 3..6 {
        assert_eq!(
            pool.origin_of(T, refers(call, &[strict(RESPONSE)])),
            (Some("a".into()), Some(RESPONSE))
        );
    }
    // What nobody knows goes as if there were nothing.
    assert_eq!(
        pool.origin_of(T, refers(6, &[strict(OTHER)])),
        (Some("c".into()), None)
    );
    assert_eq!(
        pool.origin_of(T + 8 * 24 * HOUR, refers(7, &[strict(RESPONSE)]))
            .1,
        None,
        "not for ever"
    );
}

#[test]
fn a_call_that_succeeded_shows_where_its_references_belong() {
    let mut pool = alike(2);
    assert_eq!(pool.makes(T, refers(1, &[strict(OTHER)]), &[]), "a");
    assert_eq!(pool.given(T, refers(2, &[strict(OTHER)])), "a");
    // What fails shows nothing.
    pool.given(T, refers(3, &[strict(9)]));
    pool.reports(T, 3, "b", Outcome::Neutral);
    assert_eq!(pool.origin_of(T, refers(4, &[strict(9)])).1, None);
}

#[test]
fn when_the_account_is_away_nobody_else_is_asked() {
    type Harm = fn(&mut Pool);
    let harms: [(Harm, Skip, Option<Millis>, bool); 3] = [
        (
            |pool| pool.tries(T, 8, "a", throttled(T + 9_000)),
            Skip::Cooling {
                until: T + 9_000,
                family: None,
                why: "limited".into(),
            },
            Some(T + 9_000),
            false,
        ),
        (
            |pool| {
                let paused = AccountPolicy {
                    schedulable: false,
                    ..account("a")
                };
                _ = pool.learns(T, [paused, account("b")]);
            },
            Skip::Paused,
            None,
            false,
        ),
        (
            |pool| {
                let one = AccountPolicy {
                    max_concurrency: 1,
                    ..account("a")
                };
                pool.learns(T, [one, account("b")]);
                pool.given(T, only(8, "a"));
            },
            Skip::Full { limit: 1 },
            None,
            true,
        ),
    ];
    for (harm, skip, earliest, busy) in harms {
        let mut pool = alike(2);
        pool.makes(T, ask(1), &[strict(RESPONSE), loose(REASONING)]);
        harm(&mut pool);
        let expected = Reply::NobodyLeft {
            skipped: vec![("a".into(), skip)],
            earliest,
            busy,
            bound: None,
            origin: Some(RESPONSE),
            own_full: false,
        };
        assert_eq!(pool.asks(T, refers(2, &[strict(RESPONSE)])), expected);
        // What it can do without does not hold it.
        assert_eq!(pool.given(T, refers(3, &[loose(REASONING)])), "b");
    }
    // A deleted account is away for good, also after a restart.
    let mut pool = alike(2);
    pool.makes(T, ask(1), &[strict(RESPONSE)]);
    pool.learns(T, [account("b")]);
    let kept = serde_json::to_string(&pool).unwrap();
    let expected = Reply::NobodyLeft {
        skipped: vec![],
        earliest: None,
        busy: false,
        bound: None,
        origin: Some(RESPONSE),
        own_full: false,
    };
    for mut pool in [pool, serde_json::from_str(&kept).unwrap()] {
        assert_eq!(pool.asks(T, refers(2, &[strict(RESPONSE)])), expected);
        // A new account is another one, whatever it is called.
        pool.learns(T, [account("a"), account("b")]);
        assert_eq!(pool.asks(T, refers(3, &[strict(RESPONSE)])), expected);
    }
}

#[test]
fn the_maker_of_reasoning_comes_before_the_session_unless_it_is_in_trouble() {
    let mut pool = alike(2);
    assert_eq!(pool.makes(T, with_session(1, 7), &[]), "a");
    assert_eq!(pool.makes(T, ask(2), &[loose(REASONING)]), "b");
    let on = |call| Pick {
        session: Some(7),
        holder: "own".into(),
        ..refers(call, &[loose(REASONING)])
    };
    // Another key's calls have gone wrong there: a doubt, and no reason to lose what the call carries.
    let other = Pick {
        holder: "other".into(),
        ..only(3, "b")
    };
    pool.asks(T, other);
    pool.reports(T, 3, "b", unwell());
    assert_eq!(pool.given(T, on(4)), "b");
    pool.reports(T, 4, "b", unwell());
    assert_eq!(pool.given(T, on(5)), "a", "its own calls fail there");
}

#[test]
fn the_makers_of_a_conversation_are_known_by_the_newest_of_each_part() {
    let mut pool = alike(2);
    let (first, second, third) = (80, 81, 82);
    assert_eq!(pool.makes(T, ask(1), &[loose(first)]), "a");
    assert_eq!(pool.makes(T, refers(2, &[loose(first)]), &[loose(second)]), "a");
    pool.learns(
        T,
        [
            AccountPolicy {
                schedulable: false,
                ..account("a")
            },
            account("b"),
        ],
    );
    assert_eq!(pool.makes(T, refers(3, &[loose(second)]), &[loose(third)]), "b");
    let asked = |account: &str| Command::MadeBy {
        account: account.into(),
        origins: vec![first, second, third],
    };
    let made = |made: [Option<bool>; 3]| Reply::MadeBy { made: made.to_vec() };
    assert_eq!(pool.say(T, asked("a")), made([None, Some(true), Some(false)]));
    assert_eq!(pool.say(T, asked("b")), made([None, Some(false), Some(true)]));
    assert_eq!(pool.say(T, asked("x")), made([None, Some(false), Some(false)]));
}

#[test]
fn reasoning_leads_before_the_session_and_newer_takes_its_place() {
    let mut pool = alike(2);
    assert_eq!(pool.makes(T, with_session(1, 7), &[]), "a");
    assert_eq!(pool.makes(T, ask(2), &[loose(REASONING)]), "b");
    let on = |call, id| Pick {
        session: Some(7),
        ..refers(call, &[loose(id)])
    };
    assert_eq!(pool.given_sticky(T, on(3, REASONING)), ("b".into(), true));
    pool.reports(T, 3, "b", Outcome::Neutral);
    assert_eq!(pool.makes(T, on(4, REASONING), &[loose(81)]), "b");
    let Reply::Picked { account, .. } = pool.asks(T, on(5, REASONING)) else {
        panic!()
    };
    assert_eq!(account, "b", "its session went along");
    assert_eq!(pool.origins.len(), 1, "the older is forgotten");
}

#[test]
fn a_free_call_binds_no_reference() {
    let mut pool = alike(2);
    let free = Pick {
        slot: false,
        ..refers(1, &[strict(OTHER)])
    };
    pool.makes(T, free, &[]);
    assert_eq!(pool.origins.len(), 0);
}

#[test]
fn an_origin_is_claimed_once() {
    let mut pool = alike(2);
    pool.makes(T, ask(1), &[strict(RESPONSE), strict(OTHER)]);
    let claim = |call, origin| Command::Claim {
        call: CallId(call),
        origin,
    };
    let said = |known: Option<bool>| Reply::MadeBy { made: vec![known] };
    assert_eq!(pool.say(T, claim(2, OTHER)), said(Some(true)));
    assert_eq!(pool.say(T, claim(3, OTHER)), said(None));
    assert_eq!(pool.say(T, claim(2, 1_000)), said(None));
    // The first reply was lost.
    assert_eq!(pool.say(T, claim(2, OTHER)), said(Some(true)));
    assert_eq!(pool.origins.len(), 2, "the receipt replaces the origin");
    // Others are as they were.
    assert_eq!(
        pool.origin_of(T, refers(2, &[strict(RESPONSE)])).1,
        Some(RESPONSE)
    );
}
