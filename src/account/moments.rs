//! Parses times and waits in providers' headers and bodies, and limits them.
//!
//! | format | example | source |
//! | --- | --- | --- |
//! | seconds, whole or fractional | `retry-after: 90`, `90.5` | RFC 9110 §10.2.3, OpenAI |
//! | milliseconds | `retry-after-ms: 1500` | OpenAI; its and Anthropic's SDKs read it first |
//! | an HTTP date in one of its three forms | `retry-after: Sat, 28 Nov 2026 08:22:22 GMT` | RFC 9110 §5.6.7 |
//! | the same in any case or time zone, as in mail dates and ISO times | `... 08:22:22 +0000`, `2026-11-28T08:22:22Z` | RFC 5322 §3.3, RFC 3339, observed at proxies |
//!
//! Values that are negative, not a number or in the past are ignored. Resets of quota windows are limited to
//! [`FURTHEST_MS`]; the longest real window is one week. A `retry-after` alone does not prove a window and is
//! limited to [`LONGEST_RETRY_MS`].

use chrono::{DateTime, NaiveDateTime};
use crs_durable::Millis;
use http::HeaderMap;

/// Maximum wait, milliseconds.
const FURTHEST_MS: f64 = 31.0 * 86_400_000.0;

/// Maximum wait from a `retry-after` alone, milliseconds.
pub(super) const LONGEST_RETRY_MS: u64 = 3_600_000;

/// When an answer's headers allow the next try; at most [`LONGEST_RETRY_MS`] from now.
pub(super) fn retry_at(headers: &HeaderMap, now: Millis) -> Option<Millis> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let in_ms = || after_ms(now, text("retry-after-ms")?.parse().ok()?);
    let in_header = || {
        let value = text("retry-after")?;
        match value.parse::<f64>() {
            Ok(seconds) => after_seconds(now, seconds),
            Err(_) => not_past(now, http_date(value)? as f64),
        }
    };
    let at = in_ms().or_else(in_header)?;
    Some(at.min(now.saturating_add(LONGEST_RETRY_MS)))
}

/// This many seconds from now.
pub(super) fn after_seconds(now: Millis, seconds: f64) -> Option<Millis> {
    after_ms(now, seconds * 1000.0)
}

/// This many milliseconds from now.
pub(super) fn after_ms(now: Millis, wait: f64) -> Option<Millis> {
    let is_valid = wait.is_finite() && wait >= 0.0;
    // `as` saturates, and the value is bounded.
    is_valid.then(|| now.saturating_add(wait.min(FURTHEST_MS).ceil() as Millis))
}

/// This many seconds since 1970; `None` if that is in the past.
pub(super) fn at_seconds(now: Millis, seconds: f64) -> Option<Millis> {
    not_past(now, seconds * 1000.0)
}

fn not_past(now: Millis, at: f64) -> Option<Millis> {
    let wait = at - now as f64;
    (wait > 0.0).then(|| after_ms(now, wait)).flatten()
}

/// Milliseconds since 1970 of an HTTP date. The weekday is ignored: some servers send a wrong one or none. Month
/// names are read in any case.
fn http_date(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.timestamp_millis());
    }
    let (date, zone) = match text.rsplit_once(' ') {
        // asctime is the only form without a zone. It ends with the year and means UTC.
        Some((_, year)) if year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()) => (text, 0),
        Some((date, zone)) => (date.trim_end(), zone_seconds(zone)?),
        None => return None,
    };
    let bare = date.split_once(',').map_or(date, |(_, rest)| rest).trim();
    let read = |text: &str, form| NaiveDateTime::parse_from_str(text, form).ok();
    let date = ["%d %b %Y %H:%M:%S", "%d-%b-%y %H:%M:%S", "%d-%b-%Y %H:%M:%S"]
        .iter()
        .filter(|_| date.len() < text.len())
        .find_map(|form| read(bare, form))
        .or_else(|| read(bare.split_once(' ')?.1.trim(), "%b %e %H:%M:%S %Y"));
    Some(date?.and_utc().timestamp_millis() - zone * 1000)
}

/// Offset from UTC in seconds, positive to the east: `GMT`, `UTC`, `Z`, `+0000`, `-05:00`.
fn zone_seconds(zone: &str) -> Option<i64> {
    if ["gmt", "utc", "ut", "z"]
        .iter()
        .any(|name| zone.eq_ignore_ascii_case(name))
    {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let number = |text: &str| {
        let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| text.parse::<i64>().ok()).flatten()
    };
    Some(sign * (number(hours)? * 3600 + number(minutes)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28T08:20:52Z.
    const NOW: Millis = 1_795_854_052_000;

    fn wait_of(name: &'static str, value: &str) -> Option<u64> {
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
            ("sat, 28 nov 2026 08:22:22 gmt", 90_000),
            ("SAT, 28 NOV 2026 08:22:22 GMT", 90_000),
            ("Sat, 28 Nov 2026 08:22:22 +0000", 90_000),
            ("Sat, 28 Nov 2026 08:22:22 -0000", 90_000),
            ("Sat, 28 Nov 2026 09:22:22 +0100", 90_000),
            ("Sat, 28 Nov 2026 03:22:22 -05:00", 90_000),
            ("Sat, 28 Nov 2026 08:22:22 UTC", 90_000),
            ("28 Nov 2026 08:22:22 GMT", 90_000),
            ("saturday, 28-nov-26 08:22:22 gmt", 90_000),
            ("Saturday, 28-Nov-26 08:22:22 +0000", 90_000),
            ("Sat, 28-Nov-2026 08:22:22 GMT", 90_000),
            ("sat nov 28 08:22:22 2026", 90_000),
            ("2026-11-28T08:22:22Z", 90_000),
            ("2026-11-28T09:22:22.5+01:00", 90_500),
        ] {
            assert_eq!(wait_of("retry-after", value), Some(wait), "{value}");
        }
        assert_eq!(wait_of("retry-after-ms", "1500"), Some(1_500));
        assert_eq!(wait_of("retry-after-ms", "1500.2"), Some(1_501));
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
            "Sat, 28 Nov 2026 08:22:22 +00",
            "Sat, 28 Nov 2026 08:22:22 +é0",
            "Sat, 28 Nov 2026 08:22:22 XYZ",
            "GMT",
            " ",
        ] {
            assert_eq!(wait_of("retry-after", odd), None, "{odd}");
        }
        for much in [
            "3601",
            "9999999999",
            "1e300",
            "99999999999999999999",
            "Sat, 28 Nov 9026 08:22:22 GMT",
        ] {
            assert_eq!(wait_of("retry-after", much), Some(LONGEST_RETRY_MS), "{much}");
        }
        assert_eq!(wait_of("retry-after-ms", "1e15"), Some(LONGEST_RETRY_MS));
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
