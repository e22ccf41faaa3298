//! The headers of Anthropic's API, and those of clients that are forwarded.

use http::header::HeaderName;

use crate::account::allowed::{Allowed, Parameter};

pub(super) const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");
pub(super) const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// Headers by which clients of the Messages API identify themselves. Other `anthropic-*` headers select an
/// organisation or workspace, which belongs to the account.
pub const ALLOWED: Allowed = Allowed {
    // Sent by Claude Code; the SDKs send none.
    query: &[Parameter {
        name: "beta",
        values: &["true", "false"],
    }],
    headers: &[
        "user-agent",
        "anthropic-version",
        "anthropic-beta",
        "anthropic-dangerous-direct-browser-access",
        "anthropic-client-platform",
        "anthropic-client-version",
        "x-app",
        "x-client-request-id",
        "accept-language",
        "sec-fetch-mode",
    ],
    families: &["x-stainless-", "x-claude-code-"],
};
