//! A client leaves at each await point of each story: after the first poll of its call, after the second, and so on
//! until the call ends before its client leaves. Whenever that is, nothing stays behind.

use super::rig::{Client, End, MS, Reply, Rig, Setup};
use crate::port::upstream::UpstreamErrorKind;

const NOW: u64 = super::rig::NOW;

/// How a story begins: a rig, and the call whose client leaves after so many polls.
type Story = fn(usize) -> (Rig, Client);

const STORIES: [(&str, Story); 13] = [
    ("a whole answer", |polls| {
        let rig = one(Reply::message());
        let call = rig.call_until(false, polls);
        (rig, call)
    }),
    ("a stream", |polls| {
        let rig = one(Reply::stream());
        let call = rig.call_until(true, polls);
        (rig, call)
    }),
    ("a converted answer", |polls| {
        let rig = one(Reply::message());
        let call = rig.chat_until(false, polls);
        (rig, call)
    }),
    ("a converted stream", |polls| {
        let rig = one(Reply::stream());
        let call = rig.chat_until(true, polls);
        (rig, call)
    }),
    ("a converted stream that begins before its provider", |polls| {
        let rig = two(Reply::hangs(), Reply::stream(), &[("REQUEST_TIMEOUT", "25000")]);
        let call = rig.chat_until(true, polls);
        (rig, call)
    }),
    ("a second account", |polls| {
        let rig = two(Reply::error(500, "api_error"), Reply::stream(), &[]);
        let call = rig.call_until(true, polls);
        (rig, call)
    }),
    ("a second account after a time-out", |polls| {
        let rig = two(Reply::hangs(), Reply::message(), &[("REQUEST_TIMEOUT", "1000")]);
        let call = rig.call_until(false, polls);
        (rig, call)
    }),
    ("two accounts that refuse", |polls| {
        let rig = two(
            Reply::error(403, "permission_error"),
            Reply::error(403, "permission_error"),
            &[],
        );
        let call = rig.call_until(false, polls);
        (rig, call)
    }),
    ("every account fails", |polls| {
        let broken = Reply::unreachable(UpstreamErrorKind::Broken);
        let rig = two(broken, Reply::error(429, "rate_limit_error"), &[]);
        let call = rig.call_until(false, polls);
        (rig, call)
    }),
    ("a stream that breaks", |polls| {
        let rig = one(Reply::stream().cut(2, End::Broken));
        let call = rig.call_until(true, polls);
        (rig, call)
    }),
    ("a token that has ended", |polls| {
        let rig = Rig::new();
        rig.login("l", 1, NOW - 1);
        rig.provider
            .script(super::rig::TOKENS, [Reply::tokens("l-2", "l-refresh-2")]);
        rig.provider.script("l-2", [Reply::stream()]);
        let call = rig.call_until(true, polls);
        (rig, call)
    }),
    ("a token that is refused", |polls| {
        let rig = Rig::new();
        rig.login("l", 1, NOW + 36_000_000);
        rig.provider
            .script("l-1", [Reply::error(401, "authentication_error")]);
        rig.provider
            .script(super::rig::TOKENS, [Reply::tokens("l-2", "l-refresh-2")]);
        rig.provider.script("l-2", [Reply::message()]);
        let call = rig.call_until(false, polls);
        (rig, call)
    }),
    ("a place in the queue", |polls| {
        let rig = Rig::with(&Setup {
            concurrency: 1,
            queue: (5, 60_000),
            ..Setup::default()
        });
        rig.account("a", 1);
        rig.provider.script("a", [Reply::stream()]);
        let first = rig.call(true);
        rig.pass(MS(50));
        let call = rig.call_until(true, polls);
        rig.finish(&[&first]);
        (rig, call)
    }),
];

fn one(reply: Reply) -> Rig {
    let rig = Rig::new();
    rig.account("a", 1);
    rig.provider.script("a", [reply]);
    rig
}

fn two(first: Reply, second: Reply, vars: &[(&'static str, &'static str)]) -> Rig {
    let rig = Rig::with(&Setup {
        vars: vars.to_vec(),
        ..Setup::default()
    });
    rig.account("a", 1);
    rig.account("b", 2);
    rig.provider.script("a", [first]);
    rig.provider.script("b", [second]);
    rig
}

#[test]
fn nothing_stays_behind_wherever_a_client_leaves() {
    let mut cases = 0;
    for (name, story) in STORIES {
        let mut polls = 1;
        loop {
            let (rig, call) = story(polls);
            rig.finish(&[&call]);
            let of_others = usize::from(name == "a place in the queue");
            let reached = usize::from(rig.provider.called().len() > of_others);
            let events = rig.settled();
            assert_eq!(
                events.len(),
                reached + of_others,
                "{name}: left after {polls} polls"
            );
            cases += 1;
            if call.polls() < polls || call.received().is_over {
                assert!(call.received().is_over, "{name}");
                break;
            }
            polls += 1;
            assert!(polls < 200, "{name} never ends");
        }
        assert!(polls > 3, "{name} has few await points: {polls}");
    }
    assert!(cases > 100, "{cases}");
}

#[test]
fn nothing_stays_behind_whenever_a_client_leaves() {
    for (name, story) in STORIES {
        for ms in [
            0, 1, 19, 20, 21, 24, 25, 26, 45, 120, 121, 150, 420, 1_010, 1_100, 11_000, 26_000,
        ] {
            let (rig, call) = story(usize::MAX);
            rig.pass(MS(ms));
            call.leaves();
            let of_others = usize::from(name == "a place in the queue");
            let reached = usize::from(rig.provider.called().len() > of_others);
            assert_eq!(
                rig.settled().len(),
                reached + of_others,
                "{name}: left after {ms} ms"
            );
        }
    }
}

#[test]
fn a_crowd_that_leaves_one_by_one_leaves_nothing() {
    let rig = Rig::with(&Setup {
        concurrency: 3,
        queue: (50, 60_000),
        ..Setup::default()
    });
    rig.account("a", 1);
    rig.account("b", 1);
    rig.provider.script(
        "a",
        [Reply::stream(), Reply::error(500, "api_error"), Reply::stream()],
    );
    rig.provider.script("b", [Reply::stream()]);
    let calls: Vec<Client> = (1..=50).map(|polls| rig.call_until(true, polls)).collect();
    rig.finish(&calls.iter().collect::<Vec<_>>());
    rig.settled();
    assert_eq!(rig.served(true).status, Some(200), "every slot is free again");
}
