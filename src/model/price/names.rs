//! The names a model may be known by. Only these dressings come off, each with its reason:
//!
//! | dressing | why it is there |
//! | --- | --- |
//! | `ccr,` | CRS's way to send a call to another kind of account |
//! | `anthropic/` `openai/` `google/` `gemini/` `models/` | vendor and path prefixes of other clients |
//! | `[1m]` | Claude Code's mark for the long context |
//! | `-latest` | an alias of the newest dated version |
//! | `-20250929` `-2025-09-29` `@20250929` | a dated version of a model; `-001` is Google's |

const PREFIXES: [&str; 6] = ["ccr,", "anthropic/", "openai/", "google/", "gemini/", "models/"];

/// The name itself, then what is left of it as dressings come off one by one. Whether a dressed name has
/// a price of its own is seen before it is undressed.
pub(super) fn candidates(model: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(model), |name| undress(name))
}

fn undress(name: &str) -> Option<&str> {
    PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .or_else(|| name.strip_suffix("[1m]"))
        .or_else(|| name.strip_suffix("-latest"))
        .or_else(|| strip_date(name))
        .filter(|rest| !rest.is_empty())
}

fn strip_date(name: &str) -> Option<&str> {
    if let Some((rest, tail)) = name.rsplit_once('@') {
        return shaped(tail, "dddddddd").then_some(rest);
    }
    let (rest, tail) = name.rsplit_once('-')?;
    if shaped(tail, "dddddddd") || (shaped(tail, "ddd") && rest.starts_with("gemini-")) {
        return Some(rest);
    }
    let (rest, month) = rest.rsplit_once('-')?;
    let (rest, year) = rest.rsplit_once('-')?;
    (shaped(year, "dddd") && shaped(month, "dd") && shaped(tail, "dd")).then_some(rest)
}

fn shaped(text: &str, digits: &str) -> bool {
    text.len() == digits.len() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(model: &str) -> Vec<&str> {
        candidates(model).collect()
    }

    #[test]
    fn dressings_come_off_one_by_one() {
        assert_eq!(
            all("ccr,anthropic/claude-sonnet-4-5-20250929[1m]"),
            [
                "ccr,anthropic/claude-sonnet-4-5-20250929[1m]",
                "anthropic/claude-sonnet-4-5-20250929[1m]",
                "claude-sonnet-4-5-20250929[1m]",
                "claude-sonnet-4-5-20250929",
                "claude-sonnet-4-5",
            ]
        );
        assert_eq!(all("gpt-5-2025-08-07"), ["gpt-5-2025-08-07", "gpt-5"]);
        assert_eq!(
            all("models/gemini-2.5-flash-001"),
            [
                "models/gemini-2.5-flash-001",
                "gemini-2.5-flash-001",
                "gemini-2.5-flash"
            ]
        );
        assert_eq!(
            all("claude-opus-4-5@20251101"),
            ["claude-opus-4-5@20251101", "claude-opus-4-5"]
        );
        assert_eq!(
            all("gemini-flash-latest"),
            ["gemini-flash-latest", "gemini-flash"]
        );
    }

    #[test]
    fn nothing_else_comes_off() {
        for name in [
            "gpt-5.1-codex-max",
            "claude-opus-4-1",
            "claude-x-001",
            "claude-opus-4-5-2025110",
            "gemini-2.5-pro-preview-06-05",
            "",
            "-latest",
            "[1m]",
            "ccr,",
        ] {
            assert_eq!(all(name), [name]);
        }
    }
}
