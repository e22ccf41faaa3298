//! Which client calls, by what it says of itself.
//!
//! Advisory: anybody may say anything. It keeps honest users apart, under the names that CRS's
//! `allowedClients` has; the headers are those that the clients were seen to send.

use http::HeaderMap;
use http::header::USER_AGENT;

/// The names there are, for people to choose from.
pub const NAMES: [&str; 4] = ["claude_code", "gemini_cli", "codex_cli", "droid_cli"];

/// `None`: an SDK, a script, or something nobody here knows.
pub fn recognise(headers: &HeaderMap) -> Option<&'static str> {
    let agent = headers.get(USER_AGENT)?.to_str().ok()?;
    let begins = |with: &str| {
        agent
            .get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let [claude_code, gemini_cli, codex_cli, droid_cli] = NAMES;
    // `claude-cli/2.1.330 (external, sdk-cli)`
    if begins("claude-cli/") {
        return Some(claude_code);
    }
    // `GeminiCLI-tui/0.61.0/gemini-2.5-pro (linux; x64; terminal) ...`
    if begins("GeminiCLI") {
        return Some(gemini_cli);
    }
    // `codex_exec/0.169.0 (Debian ...)`, `codex_cli_rs/...`, `codex_vscode/...`
    if begins("codex_") || begins("codex-") {
        return Some(codex_cli);
    }
    begins("factory-cli/").then_some(droid_cli)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_what_they_send() {
        let of = |agent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, agent.parse().unwrap());
            recognise(&headers)
        };
        assert_eq!(of("claude-cli/2.1.330 (external, cli)"), Some("claude_code"));
        assert_eq!(
            of("GeminiCLI-tui/0.61.0/gemini-2.5-pro (linux; x64)"),
            Some("gemini_cli")
        );
        assert_eq!(
            of("codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb"),
            Some("codex_cli")
        );
        assert_eq!(of("Anthropic/Python 2.12.0"), None);
        assert_eq!(of("my claude-cli/1"), None);
        assert_eq!(recognise(&HeaderMap::new()), None);
    }
}
