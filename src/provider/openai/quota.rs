//! What OpenAI's headers say of an account's limits.
//!
//! | headers | of whom | what |
//! | --- | --- | --- |
//! | `x-codex-{primary,secondary}-{used-percent,reset-at,reset-after-seconds}` | ChatGPT | windows of hours and of a week |
//! | `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` | API keys | windows of minutes, of one model |

use crs_durable::Millis;
use http::HeaderMap;

use crate::provider::interval::interval;
use crate::provider::{Quota, Window};

pub(super) fn read(headers: &HeaderMap, now: Millis) -> Quota {
    let text = |name: String| headers.get(name).and_then(|value| value.to_str().ok());
    let mut windows = Vec::new();
    for name in ["primary", "secondary"] {
        let number = |what: &str| text(format!("x-codex-{name}-{what}"))?.trim().parse::<f64>().ok();
        let Some(percent) = number("used-percent") else {
            continue;
        };
        // An absolute moment is not older than its answer.
        let at = number("reset-at").map(|seconds| (seconds * 1000.0) as Millis);
        let after = number("reset-after-seconds").map(|seconds| now + (seconds * 1000.0) as Millis);
        windows.push(Window {
            name: name.to_owned(),
            used: hundredths(percent / 100.0),
            resets_at: at.filter(|at| *at > now).or(after),
        });
    }
    for name in ["requests", "tokens"] {
        let part = |what: &str| text(format!("x-ratelimit-{what}-{name}"));
        let number = |what: &str| part(what)?.trim().parse::<f64>().ok();
        let (Some(limit), Some(left)) = (number("limit"), number("remaining")) else {
            continue;
        };
        if limit <= 0.0 {
            continue;
        }
        windows.push(Window {
            name: name.to_owned(),
            used: hundredths((limit - left) / limit),
            resets_at: part("reset").and_then(interval).map(|wait| now + wait),
        });
    }
    Quota { windows }
}

/// `as` saturates: nothing is below 0.
fn hundredths(share: f64) -> u32 {
    (share * 10_000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    fn of(headers: &[(&'static str, &'static str)]) -> Quota {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        read(&headers, NOW)
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
        let window = |name: &str, used, resets_at| Window {
            name: name.to_owned(),
            used,
            resets_at,
        };
        assert_eq!(
            quota.windows,
            [
                window("primary", 4_250, Some(NOW + 600_000)),
                window("secondary", 10_000, Some(NOW + 604_800_000))
            ]
        );
        assert_eq!(quota.exhausted_until(), Some(NOW + 604_800_000));
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
        let used: Vec<_> = quota.windows.iter().map(|window| window.used).collect();
        assert_eq!(used, [10_000, 2_500]);
        assert_eq!(quota.exhausted_until(), Some(NOW + 90_000));
    }

    #[test]
    fn what_is_not_there_or_odd_is_no_window() {
        assert_eq!(of(&[]), Quota::default());
        assert_eq!(
            of(&[
                ("x-codex-primary-used-percent", "many"),
                ("x-ratelimit-limit-tokens", "0"),
                ("x-ratelimit-remaining-tokens", "0")
            ]),
            Quota::default()
        );
    }
}
