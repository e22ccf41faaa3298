//! Recognises the client by its headers.
//!
//! Advisory only, since headers can be forged. The header values are those that the real clients were observed to
//! send.

use http::HeaderMap;
use http::header::USER_AGENT;

use crate::model::client;
pub use crate::model::client::NAMES;

/// The client's name; `None` for SDKs, scripts and unknown clients.
pub fn recognise(headers: &HeaderMap) -> Option<&'static str> {
    client::of_agent(headers.get(USER_AGENT)?.to_str().ok()?)
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
