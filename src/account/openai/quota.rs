//! Reads an account's limits from OpenAI's headers.
//!
//! | headers | account | content |
//! | --- | --- | --- |
//! | `x-codex-{primary,secondary}-{used-percent,reset-at,reset-after-seconds}` | ChatGPT | windows of hours and of a week |
//! | `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` | API keys | windows of minutes, of one model |

use crs_durable::Millis;
use crs_durable::pool::QuotaWindow;
use http::HeaderMap;

use crate::account::interval::interval;
use crate::account::moments::{after_ms, after_seconds, at_seconds};
use crate::account::permille;

/// `family`: of the requested model. A window without a reset time is ignored.
pub(super) fn read(family: &str, headers: &HeaderMap, now: Millis) -> Vec<QuotaWindow> {
    let text = |name: String| headers.get(name).and_then(|value| value.to_str().ok());
    let mut windows = Vec::new();
    for name in ["primary", "secondary"] {
        let number = |what: &str| text(format!("x-codex-{name}-{what}"))?.trim().parse::<f64>().ok();
        // An absolute time cannot be outdated by the transfer.
        let at = number("reset-at").and_then(|seconds| at_seconds(now, seconds));
        let after = || after_seconds(now, number("reset-after-seconds")?);
        let resets_at = at.or_else(after);
        let (Some(percent), Some(resets_at)) = (number("used-percent"), resets_at) else {
            continue;
        };
        windows.push(QuotaWindow {
            name: format!("codex-{name}"),
            family: None,
            used_permille: permille(percent / 100.0),
            resets_at,
            observed_at: now,
        });
    }
    for name in ["requests", "tokens"] {
        let part = |what: &str| text(format!("x-ratelimit-{what}-{name}"));
        let number = |what: &str| part(what)?.trim().parse::<f64>().ok();
        let wait = part("reset").and_then(interval);
        let resets_at = wait.and_then(|wait| after_ms(now, wait as f64));
        let (Some(limit), Some(left), Some(resets_at)) = (number("limit"), number("remaining"), resets_at)
        else {
            continue;
        };
        if limit <= 0.0 {
            continue;
        }
        windows.push(QuotaWindow {
            name: name.to_owned(),
            family: Some(family.to_owned()),
            used_permille: permille((limit - left) / limit),
            resets_at,
            observed_at: now,
        });
    }
    windows
}

/// When the exhausted windows reset; the latest counts.
pub(super) fn exhausted_until(windows: &[QuotaWindow]) -> Option<Millis> {
    let exhausted = windows.iter().filter(|window| window.used_permille >= 1_000);
    exhausted.map(|window| window.resets_at).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    fn of(headers: &[(&'static str, &'static str)]) -> Vec<QuotaWindow> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        read("gpt-5", &headers, NOW)
    }

    #[test]
    fn windows_of_chatgpt() {
        let quota = of(&[
            ("x-codex-primary-used-percent", "42.5"),
            ("x-codex-primary-reset-at", "1800000600"),
            ("x-codex-primary-reset-after-seconds", "60"),
            ("x-codex-secondary-used-percent", "100"),
            ("x-codex-secondary-reset-after-seconds", "604800"),
        ]);
        let window = |name: &str, used_permille, resets_at| QuotaWindow {
            name: name.to_owned(),
            family: None,
            used_permille,
            resets_at,
            observed_at: NOW,
        };
        assert_eq!(
            quota,
            [
                window("codex-primary", 425, NOW + 600_000),
                window("codex-secondary", 1_000, NOW + 604_800_000)
            ]
        );
        assert_eq!(exhausted_until(&quota), Some(NOW + 604_800_000));
    }

    #[test]
    fn windows_of_api_keys() {
        let quota = of(&[
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m30s"),
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "750"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        let used: Vec<_> = quota.iter().map(|window| window.used_permille).collect();
        assert_eq!(used, [1_000, 250]);
        assert!(
            quota
                .iter()
                .all(|window| window.family.as_deref() == Some("gpt-5"))
        );
        assert_eq!(exhausted_until(&quota), Some(NOW + 90_000));
    }

    #[test]
    fn what_is_not_there_or_odd_is_no_window() {
        assert_eq!(of(&[]), []);
        assert_eq!(
            of(&[
                ("x-codex-primary-used-percent", "many"),
                ("x-ratelimit-limit-tokens", "0"),
                ("x-ratelimit-remaining-tokens", "0")
            ]),
            []
        );
    }
}
