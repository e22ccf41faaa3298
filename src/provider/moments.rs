//! Moments and waits as providers' headers and bodies tell them, read in one place and bounded.
//!
//! | told as | example | source |
//! | --- | --- | --- |
//! | seconds, whole or with a fraction | `retry-after: 90`, `90.5` | RFC 9110 §10.2.3, OpenAI |
//! | milliseconds | `retry-after-ms: 1500` | OpenAI, and what its and Anthropic's SDKs read first |
//! | an HTTP date, in any of its three forms | `retry-after: Sat, 28 Nov 2026 08:22:22 GMT` | RFC 9110 §5.6.7 |
//!
//! What is negative, no number or in the past says nothing. A quota window's reset beyond [`FURTHEST_MS`] is cut
//! to that: the longest real window is a week's. A bare `retry-after` proves no window: it is cut to
//! [`LONGEST_RETRY_MS`].

use chrono::NaiveDateTime;
use crs_durable::Millis;
use http::HeaderMap;

/// No wait is longer, milliseconds.
const FURTHEST_MS: f64 = 31.0 * 86_400_000.0;

/// No bare `retry-after` holds for longer, milliseconds.
pub(super) const LONGEST_RETRY_MS: u64 = 3_600_000;

/// When an answer's headers allow the next try, at most [`LONGEST_RETRY_MS`] from now.
pub(super) fn retry_at(headers: &HeaderMap, now: Millis) -> Option<Millis> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let in_ms = || after_ms(now, text("retry-after-ms")?.parse().ok()?);
    let told = || {
        let told = text("retry-after")?;
        match told.parse::<f64>() {
            Ok(seconds) => after_seconds(now, seconds),
            Err(_) => not_past(now, http_date(told)? as f64),
        }
    };
    let at = in_ms().or_else(told)?;
    Some(at.min(now.saturating_add(LONGEST_RETRY_MS)))
}

/// So many seconds from now.
pub(super) fn after_seconds(now: Millis, seconds: f64) -> Option<Millis> {
    after_ms(now, seconds * 1000.0)
}

/// So many milliseconds from now.
pub(super) fn after_ms(now: Millis, wait: f64) -> Option<Millis> {
    let told = wait.is_finite() && wait >= 0.0;
    // `as` saturates, and it is bounded.
    told.then(|| now.saturating_add(wait.min(FURTHEST_MS).ceil() as Millis))
}

/// So many seconds since 1970; `None` if that is past.
pub(super) fn at_seconds(now: Millis, seconds: f64) -> Option<Millis> {
    not_past(now, seconds * 1000.0)
}

fn not_past(now: Millis, at: f64) -> Option<Millis> {
    let wait = at - now as f64;
    (wait > 0.0).then(|| after_ms(now, wait)).flatten()
}

/// Milliseconds since 1970 of an HTTP date. The weekday is not checked: some servers' is wrong.
fn http_date(text: &str) -> Option<i64> {
    let read = |text: &str, form| NaiveDateTime::parse_from_str(text.trim(), form).ok();
    let date = match text.split_once(',') {
        Some((_, rest)) => {
            read(rest, "%d %b %Y %H:%M:%S GMT").or_else(|| read(rest, "%d-%b-%y %H:%M:%S GMT"))
        }
        // asctime: `Sun Nov  6 08:49:37 1994`.
        None => read(text.split_once(' ')?.1, "%b %e %H:%M:%S %Y"),
    };
    Some(date?.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28T08:20:52Z.
    const NOW: Millis = 1_795_854_052_000;

    fn told(name: &'static str, value: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        retry_at(&headers, NOW).map(|at| at - NOW)
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        for (value, wait) in [
            ("90", 90_000),
            (" 90 ", 90_000),
            ("90.5", 90_500),
            ("0.0001", 1),
            ("0", 0),
            ("Sat, 28 Nov 2026 08:22:22 GMT", 90_000),
            ("Sunday, 28-Nov-26 08:22:22 GMT", 90_000),
            ("Sat Nov 28 08:22:22 2026", 90_000),
            ("Sat Nov 28 09:20:52 2026", 3_600_000),
        ] {
            assert_eq!(told("retry-after", value), Some(wait), "{value}");
        }
        assert_eq!(told("retry-after-ms", "1500"), Some(1_500));
        assert_eq!(told("retry-after-ms", "1500.2"), Some(1_501));
    }

    #[test]
    fn milliseconds_come_first_if_they_can_be_read() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        headers.insert("retry-after-ms", "1500".parse().unwrap());
        assert_eq!(retry_at(&headers, NOW), Some(NOW + 1_500));
        headers.insert("retry-after-ms", "soon".parse().unwrap());
        assert_eq!(retry_at(&headers, NOW), Some(NOW + 7_000));
    }

    #[test]
    fn nonsense_says_nothing_and_is_bounded() {
        for odd in [
            "-1",
            "-0.5",
            "NaN",
            "inf",
            "-inf",
            "soon",
            "",
            "Sat, 28 Nov 2026 08:20:51 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Sat, 31 Nov 2026 08:22:22 GMT",
            "Sat, 28 Nov 2026 08:22:22",
        ] {
            assert_eq!(told("retry-after", odd), None, "{odd}");
        }
        for much in [
            "3601",
            "9999999999",
            "1e300",
            "99999999999999999999",
            "Sat, 28 Nov 9026 08:22:22 GMT",
        ] {
            assert_eq!(told("retry-after", much), Some(LONGEST_RETRY_MS), "{much}");
        }
        assert_eq!(told("retry-after-ms", "1e15"), Some(LONGEST_RETRY_MS));
    }

    #[test]
    fn moments_of_windows_are_bounded_alike() {
        assert_eq!(at_seconds(NOW, 1_795_854_142.0), Some(NOW + 90_000));
        assert_eq!(at_seconds(NOW, 1_795_854_000.0), None);
        assert_eq!(
            at_seconds(NOW, f64::MAX),
            None,
            "no number once it is milliseconds"
        );
        assert_eq!(at_seconds(NOW, 1e30), Some(NOW + FURTHEST_MS as u64));
        assert_eq!(after_seconds(NOW, f64::NAN), None);
        assert_eq!(after_seconds(Millis::MAX, 1.0), Some(Millis::MAX));
    }
}
