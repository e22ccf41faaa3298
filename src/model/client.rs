//! Recognises clients by their user agent.
//!
//! Advisory only, since headers can be forged. The names are those of CRS's `allowedClients`.

/// All names, for operators to choose from.
pub const NAMES: [&str; 4] = ["claude_code", "gemini_cli", "codex_cli", "droid_cli"];

/// The client's name by its `user-agent`; `None` for SDKs, scripts and unknown clients.
pub fn of_agent(agent: &str) -> Option<&'static str> {
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
