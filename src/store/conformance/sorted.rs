//! Sorted sets.

use super::*;

const ALL: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

pub(super) async fn run(subject: &Subject) {
    cases!(
        subject,
        scores_are_read_back,
        pages_go_by_score_then_member,
        pages_skip_and_stop,
        bounds_are_inclusive_and_may_be_infinite,
        a_moved_member_is_listed_once,
        zincr_by_adds_to_the_score,
        ranges_are_cut,
        zrem_of_the_last_member_ends_the_key,
        both_zeros_are_one,
        scores_keep_every_bit,
        what_is_no_score_is_refused,
    );
}

async fn scores_are_read_back(s: &Subject) {
    assert_eq!(s.one(zscore("sorted", "a")).await, Reply::Score(None));
    assert_eq!(s.one(zcard("sorted")).await, Reply::Int(0));
    assert_eq!(s.one(zrange("sorted", ALL.0, ALL.1)).await, Reply::Scored(vec![]));
    assert_eq!(
        s.one(zadd("sorted", &[(1.5, "a"), (-2.0, "b")])).await,
        Reply::Int(2)
    );
    assert_eq!(
        s.one(zadd("sorted", &[(3.0, "a"), (4.0, "c"), (5.0, "c")])).await,
        Reply::Int(1)
    );
    assert_eq!(s.one(zscore("sorted", "a")).await, Reply::Score(Some(3.0)));
    assert_eq!(s.one(zscore("sorted", "z")).await, Reply::Score(None));
    assert_eq!(s.one(zcard("sorted")).await, Reply::Int(3));
    assert_eq!(
        s.one(zrange("sorted", ALL.0, ALL.1)).await,
        Reply::Scored(vec![("b".into(), -2.0), ("a".into(), 3.0), ("c".into(), 5.0)])
    );
    assert_eq!(s.one(zadd("sorted", &[])).await, Reply::Int(0));
}

async fn pages_go_by_score_then_member(s: &Subject) {
    s.one(zadd(
        "ties",
        &[
            (1.0, "b"),
            (0.0, "z"),
            (1.0, "a"),
            (2.0, "0"),
            (1.0, "aa"),
            (1.0, "ä"),
            (-1.0, "y"),
        ],
    ))
    .await;
    let up = ["y", "z", "a", "aa", "b", "ä", "0"];
    assert_eq!(members(s.one(zrange("ties", ALL.0, ALL.1)).await), up);
    let mut down = up;
    down.reverse();
    assert_eq!(
        members(s.one(zpage("ties", ALL.0, ALL.1, true, 0, 100)).await),
        down
    );
}

async fn pages_skip_and_stop(s: &Subject) {
    let all: Vec<(f64, String)> = (0..50).map(|n| (f64::from(n), format!("m{n:02}"))).collect();
    s.one(Command::ZAdd {
        key: "pages".into(),
        entries: all,
    })
    .await;
    let page = |rev, offset, limit| zpage("pages", 10.0, 19.0, rev, offset, limit);
    assert_eq!(members(s.one(page(false, 0, 3)).await), ["m10", "m11", "m12"]);
    assert_eq!(members(s.one(page(false, 8, 3)).await), ["m18", "m19"]);
    assert_eq!(members(s.one(page(true, 0, 2)).await), ["m19", "m18"]);
    assert_eq!(members(s.one(page(true, 9, 5)).await), ["m10"]);
    assert_eq!(members(s.one(page(false, 10, 5)).await), [""; 0]);
    assert_eq!(members(s.one(page(false, 0, 0)).await), [""; 0]);
    assert_eq!(members(s.one(page(false, u64::MAX, u64::MAX)).await), [""; 0]);
    assert_eq!(members(s.one(page(true, 0, u64::MAX)).await).len(), 10);
}

async fn bounds_are_inclusive_and_may_be_infinite(s: &Subject) {
    s.one(zadd(
        "bounds",
        &[
            (f64::NEG_INFINITY, "low"),
            (-1.5, "a"),
            (0.0, "b"),
            (1.5, "c"),
            (f64::INFINITY, "high"),
        ],
    ))
    .await;
    for ((min, max), within) in [
        (ALL, vec!["low", "a", "b", "c", "high"]),
        ((-1.5, 1.5), vec!["a", "b", "c"]),
        ((-1.4, 1.4), vec!["b"]),
        ((f64::NEG_INFINITY, -1.5), vec!["low", "a"]),
        ((1.5, f64::INFINITY), vec!["c", "high"]),
        ((f64::INFINITY, f64::INFINITY), vec!["high"]),
        ((f64::MIN, f64::MAX), vec!["a", "b", "c"]),
        ((1.0, -1.0), vec![]),
        ((f64::INFINITY, f64::NEG_INFINITY), vec![]),
    ] {
        assert_eq!(
            members(s.one(zrange("bounds", min, max)).await),
            within,
            "{min} to {max}"
        );
    }
}

async fn a_moved_member_is_listed_once(s: &Subject) {
    s.one(zadd("moved", &[(1.0, "a"), (2.0, "b")])).await;
    s.run(vec![
        zadd("moved", &[(3.0, "a")]),
        zadd("moved", &[(0.5, "a")]),
        zadd("moved", &[(5.0, "a")]),
    ])
    .await;
    assert_eq!(
        s.one(zrange("moved", ALL.0, ALL.1)).await,
        Reply::Scored(vec![("b".into(), 2.0), ("a".into(), 5.0)])
    );
    assert_eq!(s.one(zcard("moved")).await, Reply::Int(2));
}

async fn zincr_by_adds_to_the_score(s: &Subject) {
    assert_eq!(s.one(zincr_by("added", 2.5, "a")).await, Reply::Score(Some(2.5)));
    assert_eq!(
        s.one(zincr_by("added", -4.0, "a")).await,
        Reply::Score(Some(-1.5))
    );
    assert_eq!(s.one(zscore("added", "a")).await, Reply::Score(Some(-1.5)));
    assert_eq!(
        s.one(zrange("added", -1.5, -1.5)).await,
        Reply::Scored(vec![("a".into(), -1.5)])
    );
    s.one(zadd("added", &[(f64::INFINITY, "top")])).await;
    assert_eq!(
        s.one(zincr_by("added", -1.0, "top")).await,
        Reply::Score(Some(f64::INFINITY))
    );
}

async fn ranges_are_cut(s: &Subject) {
    s.one(zadd(
        "cut",
        &[(1.0, "a"), (2.0, "b"), (2.0, "c"), (3.0, "d"), (-1.0, "e")],
    ))
    .await;
    assert_eq!(s.one(zcut("cut", 1.5, 2.5)).await, Reply::Int(2));
    assert_eq!(s.one(zcut("cut", 1.5, 2.5)).await, Reply::Int(0));
    assert_eq!(s.one(zcut("cut", 9.0, 1.0)).await, Reply::Int(0));
    assert_eq!(s.one(zcut("cut", f64::NEG_INFINITY, 0.0)).await, Reply::Int(1));
    assert_eq!(members(s.one(zrange("cut", ALL.0, ALL.1)).await), ["a", "d"]);
    assert_eq!(s.one(zcard("cut")).await, Reply::Int(2));
    assert_eq!(s.one(zscore("cut", "b")).await, Reply::Score(None));
    assert_eq!(s.one(zcut("cut", ALL.0, ALL.1)).await, Reply::Int(2));
    assert_eq!(s.one(exists("cut")).await, Reply::Int(0));
}

async fn zrem_of_the_last_member_ends_the_key(s: &Subject) {
    s.one(zadd("removed", &[(1.0, "a"), (2.0, "b")])).await;
    assert_eq!(s.one(zrem("removed", &["a", "z", "a"])).await, Reply::Int(1));
    assert_eq!(s.one(zcard("removed")).await, Reply::Int(1));
    assert_eq!(s.one(zrem("removed", &["b"])).await, Reply::Int(1));
    assert_eq!(s.one(exists("removed")).await, Reply::Int(0));
    assert_eq!(s.one(zrem("removed", &[])).await, Reply::Int(0));
}

async fn both_zeros_are_one(s: &Subject) {
    s.one(zadd("zeros", &[(-0.0, "b"), (0.0, "a"), (-0.0, "c")]))
        .await;
    assert_eq!(members(s.one(zrange("zeros", 0.0, 0.0)).await), ["a", "b", "c"]);
    assert_eq!(members(s.one(zrange("zeros", -0.0, -0.0)).await), ["a", "b", "c"]);
}

async fn scores_keep_every_bit(s: &Subject) {
    let scores = [
        0.1 + 0.2,
        1.0 / 3.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        1_700_000_000_123.0,
        9_007_199_254_740_993.0,
    ];
    for (index, score) in scores.into_iter().enumerate() {
        let member = format!("m{index}");
        s.one(zadd("bits", &[(score, &member)])).await;
        assert_eq!(s.one(zscore("bits", &member)).await, Reply::Score(Some(score)));
        assert_eq!(
            s.one(zrange("bits", score, score)).await,
            Reply::Scored(vec![(member, score)])
        );
    }
}

async fn what_is_no_score_is_refused(s: &Subject) {
    s.one(zadd("strict", &[(1.0, "a")])).await;
    s.is_unreadable(zadd("strict", &[(2.0, "a"), (f64::NAN, "b")]))
        .await;
    s.is_unreadable(zincr_by("strict", f64::NAN, "a")).await;
    s.is_unreadable(zincr_by("strict", f64::INFINITY, "a")).await;
    s.is_unreadable(zrange("strict", f64::NAN, 1.0)).await;
    s.is_unreadable(zcut("strict", 0.0, f64::NAN)).await;
    assert_eq!(
        s.one(zrange("strict", ALL.0, ALL.1)).await,
        Reply::Scored(vec![("a".into(), 1.0)])
    );
}
