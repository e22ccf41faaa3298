//! Headers as the real API sends them, beside those a script asks for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Route;
use super::play::request_id;
use super::request::Request;

/// The headers every answer carries. A token of OAuth sees the unified windows, a key the limits of its
/// organisation.
pub(super) fn usual(request: &Request) -> Vec<(String, String)> {
    let now = SystemTime::now();
    match Route::of(request) {
        Route::Responses | Route::ChatCompletions => return of_openai(request, now),
        Route::Gemini | Route::Assist => return of_google(now),
        _ => {}
    }
    let mut headers = vec![
        ("date".to_owned(), httpdate::fmt_http_date(now)),
        ("request-id".to_owned(), request_id(request)),
        (
            "anthropic-organization-id".to_owned(),
            "00000000-0000-4000-8000-00000000fa4e".to_owned(),
        ),
        (
            "strict-transport-security".to_owned(),
            "max-age=31536000; includeSubDomains; preload".to_owned(),
        ),
        ("server".to_owned(), "cloudflare".to_owned()),
        ("via".to_owned(), "1.1 google".to_owned()),
        ("cf-cache-status".to_owned(), "DYNAMIC".to_owned()),
        ("x-robots-tag".to_owned(), "none".to_owned()),
    ];
    let mut limit = |name: &str, value: String| headers.push((format!("anthropic-ratelimit-{name}"), value));
    if request.bearer().is_some() {
        let in_5h = epoch(now + Duration::from_hours(5));
        let in_7d = epoch(now + Duration::from_hours(7 * 24));
        limit("unified-status", "allowed".into());
        limit("unified-5h-status", "allowed".into());
        limit("unified-5h-reset", in_5h.to_string());
        limit("unified-5h-utilization", "0.25".into());
        limit("unified-7d-status", "allowed".into());
        limit("unified-7d-reset", in_7d.to_string());
        limit("unified-7d-utilization", "0.5".into());
        limit("unified-representative-claim", "five_hour".into());
        limit("unified-reset", in_5h.to_string());
    } else {
        let reset = rfc3339(now + Duration::from_mins(1));
        for (what, most, left) in [
            ("requests", 4000, 3999),
            ("tokens", 480_000, 479_000),
            ("input-tokens", 400_000, 399_000),
        ] {
            limit(&format!("{what}-limit"), most.to_string());
            limit(&format!("{what}-remaining"), left.to_string());
            limit(&format!("{what}-reset"), reset.clone());
        }
    }
    headers
}

/// A login of ChatGPT sees its plan's windows, a key the limits of its model.
fn of_openai(request: &Request, now: SystemTime) -> Vec<(String, String)> {
    let mut headers = vec![
        ("date".to_owned(), httpdate::fmt_http_date(now)),
        ("x-request-id".to_owned(), request_id(request)),
        ("openai-version".to_owned(), "2020-10-01".to_owned()),
        ("openai-organization".to_owned(), "org-of-the-operator".to_owned()),
        ("openai-processing-ms".to_owned(), "12".to_owned()),
        ("server".to_owned(), "cloudflare".to_owned()),
        ("set-cookie".to_owned(), "__cf_bm=fake; path=/".to_owned()),
    ];
    let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
    if request.header("chatgpt-account-id").is_some() {
        add("x-codex-primary-used-percent", "42".into());
        add("x-codex-primary-window-minutes", "300".into());
        add(
            "x-codex-primary-reset-at",
            epoch(now + Duration::from_hours(3)).to_string(),
        );
        add("x-codex-secondary-used-percent", "12".into());
        add("x-codex-secondary-window-minutes", "10080".into());
        add("x-codex-secondary-reset-after-seconds", "400000".into());
    } else {
        add("x-ratelimit-limit-requests", "500".into());
        add("x-ratelimit-remaining-requests", "499".into());
        add("x-ratelimit-reset-requests", "120ms".into());
        add("x-ratelimit-limit-tokens", "500000".into());
        add("x-ratelimit-remaining-tokens", "499000".into());
        add("x-ratelimit-reset-tokens", "6m0s".into());
    }
    headers
}

fn of_google(now: SystemTime) -> Vec<(String, String)> {
    [
        ("date", httpdate::fmt_http_date(now).as_str()),
        ("vary", "Origin"),
        ("server", "ESF"),
        ("x-frame-options", "SAMEORIGIN"),
        ("server-timing", "gfet4t7; dur=812"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Seconds since 1970.
pub fn epoch(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A moment as the API writes it: `2026-11-22T08:15:00Z`.
pub fn rfc3339(at: SystemTime) -> String {
    let seconds = epoch(at);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days, for days after 1970.
    let z = days + 719_468;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + z / 146_097 * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        let at = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_335_300), "2026-11-22T08:15:00Z");
    }
}
