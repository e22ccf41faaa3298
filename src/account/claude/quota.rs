//! Reads a subscription's quota windows from Anthropic's headers:
//! `anthropic-ratelimit-unified-{window}-utilization` (0 to 1) and `-reset` (Unix seconds) for the windows `5h`,
//! `7d` and weekly windows of one family (`7d_opus`).

use crs_durable::Millis;
use crs_durable::pool::QuotaWindow;
use http::HeaderMap;

use super::FAMILIES;
use crate::account::moments::at_seconds;
use crate::account::permille;

pub(super) fn read(headers: &HeaderMap, now: Millis) -> Vec<QuotaWindow> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let windows = headers.keys().filter_map(|header| {
        let prefix = "anthropic-ratelimit-";
        let name = header
            .as_str()
            .strip_prefix(prefix)?
            .strip_suffix("-utilization")?;
        if !name.starts_with("unified-") {
            return None;
        }
        let resets_at = at_seconds(now, number(&format!("{prefix}{name}-reset"))?)?;
        Some(QuotaWindow {
            name: name.to_owned(),
            family: FAMILIES
                .into_iter()
                .find(|family| name.ends_with(family))
                .map(str::to_owned),
            used_permille: permille(number(header.as_str())?),
            resets_at,
            observed_at: now,
        })
    });
    windows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_a_subscription() {
        let headers = [
            ("anthropic-ratelimit-unified-5h-utilization", "0.425"),
            ("anthropic-ratelimit-unified-5h-reset", "1800000600"),
            ("anthropic-ratelimit-unified-7d_opus-utilization", "1.02"),
            ("anthropic-ratelimit-unified-7d_opus-reset", "1800100000"),
            // Over, and without a moment.
            ("anthropic-ratelimit-unified-7d-utilization", "0.9"),
            ("anthropic-ratelimit-unified-7d-reset", "1700000000"),
            ("anthropic-ratelimit-unified-overage-utilization", "0.1"),
        ];
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let mut windows = read(&headers, 1_800_000_000_000);
        windows.sort_by(|a, b| a.name.cmp(&b.name));
        let found: Vec<_> = windows
            .iter()
            .map(|window| {
                (
                    window.name.as_str(),
                    window.family.as_deref(),
                    window.used_permille,
                    window.resets_at,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("unified-5h", None, 425, 1_800_000_600_000),
                ("unified-7d_opus", Some("opus"), 1_020, 1_800_100_000_000)
            ]
        );
    }
}
