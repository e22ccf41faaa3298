//! Runs the readers on answers in the providers' own shapes, from `tests/fixtures`: the usage read from each, for
//! any cuts, and in the other form.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::call::{Endpoint, Surface};
use super::meter::{LastEvent, Measurement};
use super::{messages, openai};
use crate::model::usage::{Quality, Tokens};
use crate::tested::meter;

/// An answer of `tests/fixtures`, and the expected reading.
struct Captured {
    file: &'static str,
    endpoint: Endpoint,
    model: &'static str,
    /// Input, output, cache writes for 5 minutes and for an hour, cache reads.
    tokens: [u64; 5],
    quality: Quality,
    /// The stop reason, or the kind of the error.
    end: Result<&'static str, &'static str>,
}

const GENERATE: Endpoint = Endpoint::Generate(Surface::V1Beta);
const ASSIST: Endpoint = Endpoint::Generate(Surface::Internal);

const fn row(
    file: &'static str,
    endpoint: Endpoint,
    model: &'static str,
    tokens: [u64; 5],
    quality: Quality,
    end: Result<&'static str, &'static str>,
) -> Captured {
    Captured {
        file,
        endpoint,
        model,
        tokens,
        quality,
        end,
    }
}

#[rustfmt::skip]
const ANSWERS: &[Captured] = {
    use Endpoint::{ChatCompletions as Chat, Messages, Responses};
    use Quality::{Estimated, Exact, Partial};
    const CODEX: &str = "gpt-5.1-codex-max";
    const NANO: &str = "gpt-5-nano-2025-08-07";
    const CHAT: &str = "gpt-4.1-nano-2025-04-14";
    const FLASH: &str = "gemini-3-flash-preview";
    const PRO: &str = "gemini-3-pro-preview";
    const CLAUDE: &str = "claude-sonnet-4-5-thinking";
    &[
        row("anthropic/text.sse", Messages, "claude-sonnet-5", [24, 41, 0, 120, 4096], Exact, Ok("end_turn")),
        row("anthropic/thinking_tool.sse", Messages, "claude-sonnet-5", [611, 158, 310, 0, 0], Exact, Ok("tool_use")),
        row("anthropic/web_search.sse", Messages, "claude-sonnet-4-5-20250929", [9874, 133, 0, 0, 0], Exact, Ok("end_turn")),
        row("anthropic/compaction.sse", Messages, "claude-opus-4-6", [52812, 1381, 0, 0, 0], Exact, Ok("end_turn")),
        // Part of the answer is from another model at other prices.
        row("anthropic/fallback.sse", Messages, "claude-opus-5-5", [22, 70, 0, 0, 0], Estimated, Ok("end_turn")),
        row("anthropic/refusal.sse", Messages, "claude-fable-5", [18, 5, 0, 0, 0], Exact, Ok("refusal")),
        row("anthropic/overloaded.sse", Messages, "claude-sonnet-5", [31, 4, 0, 0, 0], Partial, Err("overloaded_error")),
        row("anthropic/message.json", Messages, "claude-sonnet-5", [88, 57, 40, 20, 900], Exact, Ok("tool_use")),
        row("openai/text.sse", Responses, NANO, [19, 23, 0, 0, 0], Exact, Ok("completed")),
        row("openai/reasoning_tool.sse", Responses, CODEX, [268, 86, 0, 0, 1152], Exact, Ok("completed")),
        row("openai/web_search.sse", Responses, NANO, [7797, 611, 0, 0, 1024], Exact, Ok("completed")),
        row("openai/incomplete.sse", Responses, NANO, [19, 16, 0, 0, 0], Exact, Ok("incomplete")),
        row("openai/failed.sse", Responses, NANO, [0; 5], Exact, Err("insufficient_quota")),
        row("openai/error_event.sse", Responses, NANO, [0; 5], Exact, Err("server_error")),
        row("openai/response.json", Responses, CODEX, [172, 60, 0, 0, 128], Exact, Ok("completed")),
        row("openai/chat.sse", Chat, CHAT, [16, 19, 0, 0, 0], Exact, Ok("stop")),
        row("openai/chat_tool.sse", Chat, CHAT, [7, 18, 0, 0, 64], Exact, Ok("tool_calls")),
        row("openai/chat.json", Chat, CHAT, [172, 60, 0, 0, 128], Exact, Ok("stop")),
        row("gemini/text.sse", GENERATE, FLASH, [15, 75, 0, 0, 16], Exact, Ok("STOP")),
        row("gemini/list.json", GENERATE, FLASH, [15, 75, 0, 0, 16], Exact, Ok("STOP")),
        row("gemini/code_assist.sse", ASSIST, FLASH, [15, 75, 0, 0, 16], Exact, Ok("STOP")),
        row("gemini/tool_call.sse", GENERATE, PRO, [29, 826, 0, 0, 0], Exact, Ok("STOP")),
        row("gemini/search.sse", GENERATE, "gemini-2.5-flash", [325, 344, 0, 0, 0], Exact, Ok("STOP")),
        row("gemini/blocked.sse", GENERATE, "gemini-3.7-flash", [9, 0, 0, 0, 0], Exact, Ok("PROHIBITED_CONTENT")),
        row("gemini/answer.json", GENERATE, PRO, [172, 287, 0, 0, 128], Exact, Ok("STOP")),
        row("antigravity/claude.sse", ASSIST, CLAUDE, [330, 96, 0, 0, 1500], Exact, Ok("OTHER")),
        row("antigravity/gemini.sse", ASSIST, PRO, [29, 826, 0, 0, 0], Exact, Ok("STOP")),
        row("antigravity/answer.json", ASSIST, CLAUDE, [16, 4, 0, 0, 0], Exact, Ok("STOP")),
    ]
};

/// Error answers of each provider, with their name in the ledger.
const ERRORS: &[(&str, Endpoint, &str)] = &[
    (
        "anthropic/error_401.json",
        Endpoint::Messages,
        "authentication_error",
    ),
    ("anthropic/error_429.json", Endpoint::Messages, "rate_limit_error"),
    ("openai/error_401.json", Endpoint::Responses, "invalid_api_key"),
    (
        "openai/error_401.json",
        Endpoint::ChatCompletions,
        "invalid_api_key",
    ),
    (
        "openai/usage_limit.json",
        Endpoint::Responses,
        "usage_limit_reached",
    ),
    ("gemini/error_400.json", GENERATE, "INVALID_ARGUMENT"),
    ("gemini/error_429.json", GENERATE, "RESOURCE_EXHAUSTED"),
    ("antigravity/error_429.json", ASSIST, "RESOURCE_EXHAUSTED"),
    ("antigravity/error_quota.json", ASSIST, "RESOURCE_EXHAUSTED"),
];

/// Answers without usage, which no meter reads; `tests/support` and the console's set-up parse them.
const FREE: &[&str] = &[
    "anthropic/count_tokens.json",
    "gemini/count_tokens.json",
    "gemini/load_code_assist.json",
    "gemini/user_quota.json",
];

fn is_stream(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|end| end == "sse")
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub(crate) fn fixture(file: &str) -> Bytes {
    let path = folder().join(file);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}

fn read(file: &str, endpoint: Endpoint, bytes: &[u8], piece: usize) -> Measurement {
    let mut meter = meter(endpoint, is_stream(file)).expect("a meter");
    for piece in bytes.chunks(piece.max(1)) {
        meter.feed(piece);
    }
    let whole = meter.close() == LastEvent::Whole && meter.ended();
    assert!(whole, "{file}: the answer has an end");
    meter.finish(whole)
}

#[test]
fn each_answer_is_read_as_its_provider_means_it() {
    for captured in ANSWERS {
        let file = captured.file;
        let bytes = fixture(file);
        let measured = read(file, captured.endpoint, &bytes, bytes.len());
        let [input, output, cache_write_5m, cache_write_1h, cache_read] = captured.tokens;
        let expected = Tokens {
            input,
            output,
            cache_write_5m,
            cache_write_1h,
            cache_read,
        };
        assert_eq!(measured.tokens, expected, "{file}");
        assert_eq!(measured.model.as_deref(), Some(captured.model), "{file}");
        assert_eq!(measured.quality, captured.quality, "{file}");
        let kind = measured.error.as_ref().map(|error| error.kind.as_str());
        match captured.end {
            Ok(reason) => {
                assert_eq!(
                    (measured.stop_reason.as_deref(), kind),
                    (Some(reason), None),
                    "{file}"
                );
            }
            Err(expected) => assert_eq!(kind, Some(expected), "{file}"),
        }
        for piece in [1, 2, 7, 64] {
            let cut = read(file, captured.endpoint, &bytes, piece);
            assert_eq!(cut, measured, "{file} in pieces of {piece}");
        }
        // Other servers use other line ends.
        if is_stream(file) {
            let other = String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n", "\n");
            for end in ["\n", "\r\n", "\r"] {
                let other = other.replace('\n', end);
                assert_eq!(
                    read(file, captured.endpoint, other.as_bytes(), 5),
                    measured,
                    "{file} with {end:?}"
                );
            }
        }
    }
}

#[test]
fn each_answer_in_its_other_form_reads_the_same() {
    type Form = fn(&[u8]) -> Result<Vec<u8>, String>;
    for captured in ANSWERS {
        let file = captured.file;
        let streams = is_stream(file);
        let turn: Form = match captured.endpoint {
            Endpoint::Messages if streams => messages::forms::whole,
            Endpoint::Messages => messages::forms::streamed,
            Endpoint::Responses if streams => openai::forms::response,
            Endpoint::Responses => openai::forms::response_events,
            Endpoint::ChatCompletions if streams => openai::forms::completion,
            Endpoint::ChatCompletions => |whole| openai::forms::chunks(whole, true),
            _ => continue,
        };
        let bytes = fixture(file);
        let turned = turn(&bytes);
        // A failed answer has no other form.
        let Ok(_) = captured.end else {
            assert!(
                turned.is_err() || captured.endpoint == Endpoint::Responses,
                "{file}"
            );
            continue;
        };
        let turned = turned.unwrap_or_else(|error| panic!("{file}: {error}"));
        let name = if streams { "x.json" } else { "x.sse" };
        let before = read(file, captured.endpoint, &bytes, bytes.len());
        let after = read(name, captured.endpoint, &turned, turned.len());
        assert_eq!(after.tokens, before.tokens, "{file}");
        assert_eq!(
            (after.model, after.stop_reason),
            (before.model, before.stop_reason),
            "{file}"
        );
    }
}

#[test]
fn errors_in_place_of_an_answer_are_read_and_cost_nothing() {
    for (file, endpoint, kind) in ERRORS {
        let bytes = fixture(file);
        let measured = read(file, *endpoint, &bytes, 3);
        let error = measured.error.unwrap_or_else(|| panic!("{file}: no error"));
        assert_eq!(error.kind, *kind, "{file}");
        assert!(!error.message.is_empty(), "{file}");
        assert_eq!(
            (measured.tokens, measured.quality),
            (Tokens::default(), Quality::Exact),
            "{file}"
        );
    }
}

#[test]
fn no_fixture_is_left_unread() {
    let read: Vec<&str> = ANSWERS
        .iter()
        .map(|captured| captured.file)
        .chain(ERRORS.iter().map(|(file, ..)| *file))
        .chain(FREE.iter().copied())
        .collect();
    let mut there = 0;
    for provider in ["anthropic", "openai", "gemini", "antigravity"] {
        for entry in std::fs::read_dir(folder().join(provider)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let file = format!("{provider}/{name}");
            assert!(read.contains(&file.as_str()), "{file} is in no table");
            there += 1;
        }
    }
    let mut named = read.clone();
    named.sort_unstable();
    named.dedup();
    assert_eq!(there, named.len(), "a table names a file that is gone");
}
