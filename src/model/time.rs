//! Times in ISO 8601, UTC.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};

use crs_durable::Millis;

/// `2026-01-31T09:30:00.000Z`. Later times than the year 262142 are shown as its last.
pub fn iso(at: Millis) -> String {
    i64::try_from(at)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Parses an ISO 8601 time with an offset, or a date (midnight UTC). `None` if it is invalid or before 1970.
pub fn parse_iso(text: &str) -> Option<Millis> {
    let text = text.trim();
    let moment = match DateTime::parse_from_rfc3339(text) {
        Ok(moment) => moment.timestamp_millis(),
        Err(_) => NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)?
            .and_utc()
            .timestamp_millis(),
    };
    u64::try_from(moment).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let at = 1_764_000_000_123;
        assert_eq!(iso(at), "2025-11-24T16:00:00.123Z");
        assert_eq!(parse_iso(&iso(at)), Some(at));
        assert_eq!(parse_iso("2025-11-25T00:00:00.123+08:00"), Some(at));
        assert_eq!(parse_iso("2025-11-24"), Some(1_763_942_400_000));
    }

    #[test]
    fn refuses_what_is_no_moment() {
        for bad in [
            "",
            "soon",
            "2025-13-01",
            "2025-11-24T16:00:00",
            "1969-12-31T23:59:59Z",
            "ä",
            "1764000000",
        ] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
        iso(u64::MAX);
    }
}
