use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::InvalidModelName::{Character, Empty, Segment, TooLong};
use super::*;

#[test]
fn dressings_come_off_one_by_one() {
    assert_eq!(
        *spellings("ccr,anthropic/claude-sonnet-4-5-20250929[1m]"),
        [
            "ccr,anthropic/claude-sonnet-4-5-20250929[1m]",
            "anthropic/claude-sonnet-4-5-20250929[1m]",
            "claude-sonnet-4-5-20250929[1m]",
            "claude-sonnet-4-5-20250929",
            "claude-sonnet-4-5",
        ]
    );
    assert_eq!(*spellings("gpt-5-2025-08-07"), ["gpt-5-2025-08-07", "gpt-5"]);
}

#[test]
fn all_names_of_a_model_have_one_canonical_name() {
    for (canonical_name, others) in [
        (
            "claude-sonnet-4-5",
            &[
                "claude-sonnet-4-5-20250929",
                "claude-sonnet-4-5@20250929",
                "claude-sonnet-4-5@default",
                "claude-sonnet-4-5-latest",
                "Claude-Sonnet-4-5",
                "CLAUDE-SONNET-4-5-20250929[1M]",
                "anthropic/claude-sonnet-4.5",
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "vertex_ai/claude-sonnet-4-5@20250929",
                "publishers/anthropic/models/claude-sonnet-4-5",
                "openrouter/anthropic/claude-sonnet-4.5",
                "claude-sonnet-4-5-thinking",
                "ccr, claude-sonnet-4-5",
                " claude-sonnet-4-5 ",
            ][..],
        ),
        (
            "claude-sonnet-4",
            &["claude-sonnet-4-20250514", "claude-sonnet-4-0"],
        ),
        ("gpt-5.4", &["gpt-5.4-2026-03-05", "openai/gpt-5.4", "GPT-5.4"]),
        ("gpt-4", &["gpt-4-0613"]),
        (
            "gemini-2.5-flash",
            &["models/gemini-2.5-flash-001", "google/gemini-2.5-flash"],
        ),
        ("gemini-3-pro", &["gemini-3-pro-high", "gemini-3-pro-low"]),
        (
            "gemini-2.5-pro",
            &[
                "gemini-2.5-pro-preview",
                "gemini-2.5-pro-preview-06-05",
                "gemini-2.5-pro-preview-09-2025",
                "gemini-2.5-pro-exp-03-25",
                "gemini-2.5-pro-experimental",
                "models/gemini-2.5-pro-preview-06-05",
                "projects/p/locations/l/publishers/google/models/gemini-2.5-pro@001",
            ],
        ),
        (
            "gemini-2.5-flash-tts",
            &[
                "gemini-2.5-flash-preview-tts",
                "google/Gemini-2.5-Flash-Preview-TTS",
            ],
        ),
        (
            "gemini-2.5-flash-lite",
            &[
                "gemini-2.5-flash-lite-preview-06-17",
                "gemini-2.5-flash-lite-preview-09-2025",
            ],
        ),
        (
            "gemini-2.0-flash",
            &["gemini-2.0-flash-exp", "gemini-2.0-flash-001"],
        ),
        (
            "gemini-2.0-flash-image-generation",
            &[
                "gemini-2.0-flash-exp-image-generation",
                "gemini-2.0-flash-preview-image-generation",
            ],
        ),
        (
            "gemini-3.1-pro",
            &["gemini-3.1-pro-preview", "gemini-3.1-pro-preview-customtools"],
        ),
        (
            "gemini-3-pro-image",
            &["gemini-3-pro-image-preview", "nano-banana-pro-preview"],
        ),
        ("deep-research-pro", &["deep-research-pro-preview-12-2025"]),
        ("claude-mythos", &["claude-mythos-preview"]),
        (
            "gpt-4-turbo",
            &[
                "gpt-4-turbo-preview",
                "gpt-4-turbo-2024-04-09",
                "gpt-4-1106-preview",
                "gpt-4-0125-preview",
            ],
        ),
        (
            "gpt-4o-audio",
            &["gpt-4o-audio-preview", "gpt-4o-audio-preview-2024-12-17"],
        ),
        ("gpt-5-chat", &["gpt-5-chat-latest"]),
        (
            "gpt-4.5",
            &["gpt-4.5-preview-2025-02-27", "azure/gpt-4.5-preview"],
        ),
        ("o1", &["o1-preview", "o1-preview-2024-09-12"]),
        ("gemini-flash", &["gemini-flash-latest"]),
    ] {
        for name in others {
            assert_eq!(canonical(name), canonical_name, "{name}");
            assert!(same(name, canonical_name), "{name}");
        }
    }
}

#[test]
fn other_models_keep_their_names() {
    for name in [
        "gpt-5.1-codex-max",
        "gpt-5-high",
        "gpt-image-1.5",
        "claude-opus-4-1",
        "claude-x-001",
        "claude-opus-4-5-2025110",
        "claude-sonnet-4-5-max",
        "gemini-exp-1206",
        "gemini-exp",
        "qwen-preview",
        "o3-mini",
        "",
        "-latest",
        "[1m]",
        "ccr,",
    ] {
        assert_eq!(*spellings(name), [name]);
    }
}

#[test]
fn a_variant_is_the_model_it_is_a_variant_of() {
    for (base, names) in [
        (
            "gpt-5",
            &[
                "gpt-5:x",
                "gpt-5@x",
                "gpt-5:",
                "gpt-5@",
                "openai/gpt-5:free:nitro",
                "gpt-5@x-20250929",
            ][..],
        ),
        (
            "claude-opus-4-1",
            &[
                "claude-opus-4-1:thinking",
                "anthropic/claude-opus-4.1:thinking",
                "claude-opus-4-1-20250805:beta",
                "claude-opus-4-1:thinking[1m]",
                "us.anthropic.claude-opus-4-1-20250805-v1:0:200k",
                "CLAUDE-OPUS-4-1:Thinking",
                "claude-opus-4-1@x",
            ],
        ),
        (
            "gemini-3-pro",
            &[
                "gemini-3-pro:001",
                "gemini-3-pro@001",
                "models/gemini-3-pro-high:x",
            ],
        ),
        ("gemini-3-pro", &["gemini-3-pro-preview:x"]),
        ("o3", &["o3:x", "o3@2025"]),
        ("o4-mini", &["o4-mini:high"]),
        ("gpt-5-codex", &["gpt-5-codex:x"]),
        ("codex-mini", &["codex-mini:x", "codex-mini-latest@1"]),
    ] {
        for name in names {
            assert_eq!(canonical(name), base, "{name}");
        }
    }
    assert_eq!(
        *spellings("claude-opus-4-1-20250805:beta"),
        [
            "claude-opus-4-1-20250805:beta",
            "claude-opus-4-1-20250805",
            "claude-opus-4-1"
        ]
    );
}

#[test]
fn a_tag_of_open_weights_selects_a_model() {
    for name in [
        "llama3:8b",
        "llama3:70b",
        "qwen3:32b",
        "gpt-oss:20b",
        "gpt-oss:120b",
        "ft:gpt-4o-mini:org::id",
        "olmo:7b",
        "o3x:7b",
        "my-model@2",
    ] {
        assert_eq!(canonical(name), name);
    }
}

#[test]
fn an_alias_that_moves_is_found_from_its_versions() {
    for (version, alias) in [
        ("gemini-3.5-flash", Some("gemini-flash")),
        ("gemini-3.1-flash-lite", Some("gemini-flash-lite")),
        ("gemini-3.1-pro", Some("gemini-pro")),
        ("gemini-flash", None),
        ("gemini-2.5", None),
        ("claude-opus-4-5", None),
    ] {
        assert_eq!(moving_alias(version).as_deref(), alias, "{version}");
    }
}

/// The names of the public price table that mean the same model, and no others.
#[test]
fn releases_in_the_price_table_are_folded() {
    let table: serde_json::Value = serde_json::from_str(include_str!("../../../assets/prices.json")).unwrap();
    let mut groups: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for vendor in ["claude", "openai", "gemini"] {
        for name in table[vendor].as_object().unwrap().keys() {
            groups.entry(canonical(name)).or_default().insert(name);
        }
    }
    // By the plainest reading of a name: what follows the word for a release, or is a date, is dropped.
    let is_digits = |part: &str| part.len() > 1 && part.bytes().all(|byte| byte.is_ascii_digit());
    let names: BTreeSet<&str> = groups.values().flatten().copied().collect();
    for name in names.iter().filter(|name| vendor::alias(name).is_none()) {
        let mut parts: Vec<&str> = name.split('-').collect();
        while parts.len() > 1 {
            let last = parts.pop().unwrap_or_default();
            if !is_digits(last) && !["preview", "exp", "latest"].contains(&last) {
                break;
            }
            let base = parts.join("-");
            if names.contains(&*base) {
                assert!(same(name, &base), "{name} {base}");
            }
        }
    }
    let several: Vec<Vec<&str>> = groups
        .into_values()
        .filter(|names| names.len() > 1)
        .map(|names| names.into_iter().collect())
        .collect();
    assert_eq!(
        several,
        [
            &[
                "gemini-3-pro-image",
                "gemini-3-pro-image-preview",
                "nano-banana-pro-preview"
            ][..],
            &["gemini-3.1-flash-image", "gemini-3.1-flash-image-preview"],
            &["gemini-3.1-flash-lite", "gemini-3.1-flash-lite-preview"],
            &["gemini-3.1-pro-preview", "gemini-3.1-pro-preview-customtools"],
            &["gpt-3.5-turbo", "gpt-3.5-turbo-0125", "gpt-3.5-turbo-1106"],
            &["gpt-4", "gpt-4-0613"],
            &["gpt-4-1106-preview", "gpt-4-turbo"],
            &["gpt-4o", "gpt-4o-2024-05-13"],
            &[
                "gpt-4o-audio-preview-2024-12-17",
                "gpt-4o-audio-preview-2025-06-03"
            ],
            &["gpt-5-chat", "gpt-5-chat-latest"],
            &["gpt-5.5-cyber", "gpt-5.5-cyber-preview"],
        ]
    );
}

#[test]
fn what_could_leave_its_place_in_a_path_is_no_name() {
    for name in [
        "claude-opus-4-5",
        "gpt-5.4",
        "models/gemini-3-pro",
        "anthropic/claude-sonnet-4.5",
        "us.anthropic.claude-sonnet-4-5-v1:0",
        "claude-opus-4-5@20251101",
        "claude-sonnet-4-5[1m]",
        "my_model",
        "a...b",
    ] {
        assert_eq!(
            ModelName::parse(name).map(|name| name.to_string()),
            Ok(name.to_owned())
        );
    }
    let long = "m".repeat(LONGEST + 1);
    for (name, why) in [
        ("", Empty),
        ("[1m]", Empty),
        (long.as_str(), TooLong),
        ("x%2F..%2Fgemini-3-pro", Character),
        ("%2e%2e", Character),
        ("a b", Character),
        ("a?b", Character),
        ("a#b", Character),
        ("a\\b", Character),
        ("a\nb", Character),
        ("a;b", Character),
        ("ccr,claude-opus-4-5", Character),
        ("claude[1m]x", Character),
        ("modèle", Character),
        ("gemini\u{202e}", Character),
        ("x/../gemini-3-pro", Segment),
        ("../../", Segment),
        ("..", Segment),
        ("./a", Segment),
        (".../a", Segment),
        ("/a", Segment),
        ("a/", Segment),
        ("a//b", Segment),
        ("a/..[1m]", Segment),
    ] {
        assert_eq!(ModelName::parse(name), Err(why), "{name}");
    }
}

#[test]
fn an_operator_may_list_what_crs_listed() {
    assert_eq!(check_listed("ccr,kimi"), Ok(()));
    assert_eq!(check_listed("ccr, kimi"), Ok(()));
    assert!(check_listed("ccr,").is_err() && check_listed("a,b").is_err());
}

#[test]
fn opus_is_opus_by_every_name() {
    for name in [
        "claude-opus-4-5",
        "Claude-3-OPUS",
        "us.anthropic.claude-opus-4-5-v1:0",
    ] {
        assert!(is_opus(name) && is_opus(&canonical(name)), "{name}");
    }
    assert!(!is_opus("claude-sonnet-4-5"));
}

/// Names made of what dressings are made of.
fn any_name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "claude-",
        "opus",
        "-4-5",
        "-4.5",
        "-20250929",
        "-2025-09-29",
        "@20250929",
        "@default",
        "-latest",
        "[1m]",
        "ccr,",
        "anthropic/",
        "anthropic.",
        "us.",
        "models/",
        "publishers/",
        "gemini-",
        "3-pro",
        "-001",
        "-preview",
        "-exp",
        "-customtools",
        "nano-banana-pro",
        "-1106",
        "-06-05",
        "-09-2025",
        "gpt-",
        "-0613",
        "-v1:0",
        ":",
        "@",
        ":thinking",
        "@001",
        "o3",
        "codex",
        "gpt-oss",
        "-thinking",
        "-high",
        " ",
        "é",
        "/",
        ".",
        "CLAUDE-",
        "-0",
        "sonnet-4",
    ]);
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn a_canonical_name_is_its_own(name in any_name(), noise in ".{0,40}") {
        for name in [name, noise] {
            let once = canonical(&name);
            prop_assert_eq!(canonical(&once), once);
        }
    }

    #[test]
    fn dressing_a_name_does_not_change_what_it_means(base in prop::sample::select(vec!["claude-opus-4-5", "claude-sonnet-5"]), date in 20_240_101_u32..20_271_231, prefix in prop::sample::select(vec!["", "anthropic/", "us.anthropic.", "models/", "ccr,"]), tail in prop::sample::select(vec!["", "[1m]", "-v1:0"])) {
        let dressed = format!("{prefix}{base}-{date}{tail}");
        prop_assert!(same(&dressed, base));
        prop_assert!(same(&dressed.to_uppercase(), base));
    }

    #[test]
    fn a_name_that_passes_is_safe_in_a_path(name in "[a-zA-Z0-9./:@_%-]{0,30}") {
        if let Ok(name) = ModelName::parse(&name) {
            let path = format!("/v1beta/models/{name}:generateContent");
            let uri: http::Uri = path.parse().unwrap();
            prop_assert_eq!(uri.path(), &path);
            prop_assert!(uri.path().split('/').skip(1).all(|part| !part.is_empty() && part != ".." && part != "."));
        }
    }
}
