//! Every time-out, to the millisecond.

use super::rig::{End, MS, Reply, Rig, Setup};

fn rig(vars: &[(&'static str, &'static str)]) -> Rig {
    let rig = Rig::with(&Setup {
        vars: vars.to_vec(),
        ..Setup::default()
    });
    for (account, priority) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        rig.account(account, priority);
        rig.provider.script(account, [Reply::hangs()]);
    }
    rig
}

/// When each attempt began, milliseconds after the first.
fn began(rig: &Rig) -> Vec<u64> {
    let asked = rig.provider.asked();
    asked.iter().map(|ask| ask.at - asked[0].at).collect()
}

#[test]
fn no_attempt_begins_after_two_minutes() {
    for (timeout, attempts) in [
        ("10000", 3),
        ("50000", 3),
        ("59000", 3),
        ("70000", 2),
        ("120001", 1),
        ("600000", 1),
    ] {
        let rig = rig(&[("REQUEST_TIMEOUT", timeout)]);
        let received = rig.served(false);
        assert_eq!(received.status, Some(504), "{timeout}");
        assert_eq!(rig.provider.called().len(), attempts, "{timeout}");
        let each: u64 = timeout.parse().unwrap();
        let least = each * attempts as u64;
        assert!(
            (least..least + 500).contains(&received.end_ms),
            "{timeout}: {}",
            received.end_ms
        );
        assert_eq!(rig.settled().len(), 1);
    }
}

#[test]
fn attempts_and_their_deadline_are_settings() {
    for (vars, attempts) in [
        ([("MAX_ATTEMPTS", "4"), ("ATTEMPTS_DEADLINE", "120000")], 4),
        ([("MAX_ATTEMPTS", "1"), ("ATTEMPTS_DEADLINE", "120000")], 1),
        ([("MAX_ATTEMPTS", "4"), ("ATTEMPTS_DEADLINE", "1500")], 2),
        ([("MAX_ATTEMPTS", "4"), ("ATTEMPTS_DEADLINE", "0")], 1),
    ] {
        let rig = rig(&[vars[0], vars[1], ("REQUEST_TIMEOUT", "1000")]);
        assert_eq!(rig.served(false).status, Some(504), "{vars:?}");
        assert_eq!(rig.provider.called().len(), attempts, "{vars:?}");
    }
}

#[test]
fn the_pause_between_two_accounts_is_short_and_grows() {
    let rig = rig(&[("REQUEST_TIMEOUT", "1000")]);
    rig.served(false);
    let began = began(&rig);
    assert!((75..=139).contains(&(began[1] - 1_000)), "{began:?}");
    assert!((150..=214).contains(&(began[2] - began[1] - 1_000)), "{began:?}");
}

#[test]
fn the_head_and_the_first_byte_share_one_time_out() {
    // What comes at the very moment still counts.
    for (head, frame, in_time) in [
        (500, 500, true),
        (500, 501, false),
        (999, 1, true),
        (999, 2, false),
        (1_000, 0, false),
        (0, 1_000, true),
        (0, 1_001, false),
    ] {
        let rig = rig(&[("REQUEST_TIMEOUT", "1000")]);
        let mut slow = Reply::message().after(MS(head));
        slow.frames[0].0 = MS(frame);
        rig.provider.script("a", [slow]);
        rig.provider.script("b", [Reply::message()]);
        assert_eq!(rig.served(false).status, Some(200));
        assert_eq!(rig.provider.called().len() == 1, in_time, "{head} + {frame}");
        assert_eq!(rig.settled().len(), 1);
    }
}

#[test]
fn an_error_that_does_not_end_costs_no_more_than_a_connection() {
    let rig = rig(&[("CONNECT_TIMEOUT", "3000")]);
    rig.provider
        .script("a", [Reply::error(500, "api_error").cut(0, End::Silent)]);
    rig.provider.script("b", [Reply::message()]);
    assert_eq!(rig.served(false).status, Some(200));
    let began = began(&rig);
    assert!((3_020..3_300).contains(&began[1]), "{began:?}");
    rig.settled();
}

#[test]
fn a_silent_stream_ends_with_an_error_of_its_protocol() {
    for frames in 1..3 {
        let rig = rig(&[("STREAM_IDLE_TIMEOUT", "7000")]);
        rig.provider
            .script("a", [Reply::stream().cut(frames, End::Silent)]);
        let received = rig.served(true);
        assert_eq!(received.status, Some(200));
        let last = 20 + 100 * frames as u64;
        assert_eq!(received.end_ms, last + 7_000, "{frames}");
        assert!(received.text.ends_with("\n\n"), "{}", received.text);
        assert!(received.text.contains("event: error"), "{}", received.text);
        let events = rig.settled();
        assert_eq!(events[0].error.as_deref(), Some("stream_idle"));
        assert_eq!(events[0].account_id, "a");
    }
}

#[test]
fn a_stream_that_has_said_its_end_is_not_waited_for() {
    let rig = rig(&[]);
    rig.provider.script("a", [Reply::stream().cut(4, End::Silent)]);
    let received = rig.served(true);
    assert!(!received.text.contains("event: error"), "{}", received.text);
    assert!(
        (420..=420 + 5_000).contains(&received.end_ms),
        "{}",
        received.end_ms
    );
    let events = rig.settled();
    assert_eq!((events.len(), &events[0].error), (1, &None));
}

#[test]
fn the_client_of_a_converted_stream_never_hears_nothing() {
    let rig = rig(&[("STREAM_PING_INTERVAL", "5000"), ("REQUEST_TIMEOUT", "32000")]);
    rig.provider.script("b", [Reply::stream()]);
    let client = rig.chat_until(true, usize::MAX);
    rig.pass(MS(5_000));
    assert_eq!(
        client.received().status,
        Some(200),
        "the head is out after one interval"
    );
    let mut heard = client.received().text.len();
    for second in (10..=30).step_by(5) {
        rig.pass(MS(5_000));
        let text = client.received().text;
        assert!(text.len() > heard, "nothing new after {second} s");
        heard = text.len();
    }
    rig.finish(&[&client]);
    let received = client.received();
    assert!(
        received.text.contains("words") && received.text.contains("[DONE]"),
        "{}",
        received.text
    );
    assert_eq!(rig.provider.called(), ["a", "b"]);
    assert_eq!(rig.settled().len(), 1);
}
