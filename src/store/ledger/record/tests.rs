use super::*;
use crate::model::charge::Item;
use crate::model::trace::{SkipReason, TracedStep};

fn skip(account: &str) -> TracedSkip {
    TracedSkip {
        account: account.to_owned(),
        why: "cooling until \"then\"".to_owned(),
        code: Some(SkipReason::Cooling),
    }
}

fn full() -> LedgerEvent {
    let other = TracedAttempt {
        account_id: "other".to_owned(),
        account_name: "Other \"one\"".to_owned(),
        status: Some(529),
        error: Some("provider_overloaded".to_owned()),
        reasoning_left_out: 2,
        started_ms: 3,
        duration_ms: 4,
        candidates: 5,
        ranked: vec!["Other \"one\"".to_owned(), "Main".to_owned()],
        figures: vec![RankFigures {
            fallback: true,
            backed_off: false,
            priority: 50,
            in_reserve: true,
            load_permille: 12,
            held: 1,
            max_concurrency: 9,
            used_permille: Some(700),
            resets_at: Some("2026-01-31T09:30:00.000Z".to_owned()),
        }],
        skipped: vec![skip("a")],
        not_listed: 6,
    };
    let own = TracedAttempt {
        account_id: "main".to_owned(),
        account_name: "Main".to_owned(),
        status: Some(200),
        ranked: vec!["Main".to_owned()],
        figures: vec![RankFigures {
            backed_off: true,
            ..RankFigures::default()
        }],
        ..TracedAttempt::default()
    };
    LedgerEvent {
        request_id: "req_1".to_owned(),
        at: 1_764_000_000_000,
        key_id: "key".to_owned(),
        key_name: "钥匙\n".to_owned(),
        account_id: "main".to_owned(),
        account_name: "Main".to_owned(),
        platform: Platform::Claude,
        endpoint: "messages".to_owned(),
        model: "claude-sonnet-4-5".to_owned(),
        stream: true,
        status: 200,
        error: Some("stream_broken".to_owned()),
        detail: Some("so".to_owned()),
        tokens: Tokens {
            input: 1,
            output: 2,
            cache_write_5m: 3,
            cache_write_1h: 4,
            cache_read: 5,
        },
        cost: MicroUsd(6),
        charges: vec![Charge {
            item: Item::WebSearch,
            count: 2,
            cost: MicroUsd(3),
            guessed: true,
        }],
        price_version: "2026-01-01".to_owned(),
        quality: Quality::Partial,
        first_byte_ms: Some(7),
        duration_ms: 8,
        attempts: 2,
        client: "claude-cli".to_owned(),
        session: Some("0123456789abcdef".to_owned()),
        trace: Some(CallTrace {
            session: Some(Signal::Header),
            route: Some(TracedRoute {
                models: "claude-*".to_owned(),
                of_key: true,
                asked: "claude-opus-4-5".to_owned(),
                steps: vec![TracedStep {
                    platform: Platform::OpenAi,
                    group: None,
                    model: "gpt-5".to_owned(),
                    error: Some("no_account".to_owned()),
                }],
            }),
            sticky: false,
            bound: true,
            followed: Some("response".to_owned()),
            waited_ms: 9,
            attempts: vec![other, own],
            nobody_left: vec![skip("b")],
            cache_read_share: Some(0.125),
            previous_cache_read_share: Some(0.5),
        }),
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let full = full();
    let record = write(&full).unwrap();
    assert_eq!(read("req_1", &record).unwrap(), full);
    let bare = LedgerEvent {
        stream: false,
        error: None,
        detail: None,
        charges: Vec::new(),
        first_byte_ms: None,
        session: None,
        trace: None,
        ..full
    };
    let record = write(&bare).unwrap();
    assert_eq!(read("req_1", &record).unwrap(), bare);
}

#[test]
fn a_record_of_an_earlier_version_is_read() {
    let full = full();
    assert_eq!(read("req_1", &serde_json::to_vec(&full).unwrap()).unwrap(), full);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for record in [&b""[..], b"[]", b"[2]", b"{}", b"7"] {
        assert!(read("req_1", record).is_err(), "{record:?}");
    }
}

#[test]
fn an_ordinary_record_is_short() {
    let mut event = full();
    event.key_id = "0".repeat(36);
    event.account_id = "1".repeat(36);
    event.client = "claude-cli/2.1.330 (external, sdk-cli)".to_owned();
    (event.error, event.detail, event.charges) = (None, None, Vec::new());
    let trace = event.trace.as_mut().unwrap();
    trace.attempts = vec![TracedAttempt {
        account_id: event.account_id.clone(),
        account_name: event.account_name.clone(),
        status: Some(200),
        candidates: 1,
        ranked: vec![event.account_name.clone()],
        figures: vec![RankFigures::default()],
        ..TracedAttempt::default()
    }];
    (trace.route, trace.followed, trace.nobody_left) = (None, None, Vec::new());
    let (short, long) = (
        write(&event).unwrap().len(),
        serde_json::to_vec(&event).unwrap().len(),
    );
    assert!(short < 400 && short * 2 < long, "{short} of {long}");
}
