//! The stored form of a call's record: a JSON array of its figures in a fixed order.
//!
//! The store holds one record per call, so field names and repeated texts would be most of its file. The call's id is
//! the record's key and not repeated in it. A trace leaves out the account that served, because the record names it.
//! Records of earlier versions are JSON objects, and are still read.

use serde::{Deserialize, Serialize};

use crate::model::account::Platform;
use crate::model::charge::Charge;
use crate::model::money::MicroUsd;
use crate::model::trace::{CallTrace, RankFigures, Signal, TracedAttempt, TracedRoute, TracedSkip};
use crate::model::usage::{LedgerEvent, Quality, Tokens};
use crate::port::clock::Millis;

/// The version of the form.
const FORM: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Row<'a>(
    u8,
    Millis,
    #[serde(borrow)] Text<'a>,
    Text<'a>,
    Text<'a>,
    Text<'a>,
    Platform,
    Text<'a>,
    Text<'a>,
    u8,
    u16,
    Option<Text<'a>>,
    Option<Text<'a>>,
    [u64; 5],
    MicroUsd,
    Vec<Charge>,
    Text<'a>,
    Quality,
    Option<u64>,
    u64,
    u32,
    Text<'a>,
    Option<Text<'a>>,
    Option<Trace<'a>>,
);

#[derive(Serialize, Deserialize)]
struct Trace<'a>(
    Option<Signal>,
    u8,
    #[serde(borrow)] Option<Text<'a>>,
    u64,
    Vec<Attempt<'a>>,
    Vec<TracedSkip>,
    Option<f64>,
    Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")] Option<TracedRoute>,
);

/// An account of `None` is the record's account.
#[derive(Serialize, Deserialize)]
struct Attempt<'a>(
    #[serde(borrow)] Option<Text<'a>>,
    Option<Text<'a>>,
    Option<u16>,
    Option<Text<'a>>,
    u32,
    u64,
    u64,
    u32,
    Vec<Option<Text<'a>>>,
    Vec<Figures<'a>>,
    Vec<TracedSkip>,
    u32,
);

#[derive(Serialize, Deserialize)]
struct Figures<'a>(
    u8,
    u32,
    u64,
    u32,
    u32,
    Option<u16>,
    #[serde(borrow)] Option<Text<'a>>,
);

/// Borrowed when writing, and when reading a text without escapes.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

impl<'a> From<&'a String> for Text<'a> {
    fn from(text: &'a String) -> Self {
        Self(text.into())
    }
}

impl From<Text<'_>> for String {
    fn from(text: Text<'_>) -> Self {
        text.0.into_owned()
    }
}

/// Serializes a record.
pub(super) fn write(event: &LedgerEvent) -> serde_json::Result<Vec<u8>> {
    let mut record = Vec::with_capacity(768);
    serde_json::to_writer(&mut record, &Row::of(event))?;
    Ok(record)
}

/// Reads a record by [`write()`] or by an earlier version. `id`: the call's id.
pub(super) fn read(id: &str, record: &[u8]) -> serde_json::Result<LedgerEvent> {
    if record.first() == Some(&b'{') {
        return serde_json::from_slice(record);
    }
    let row: Row<'_> = serde_json::from_slice(record)?;
    if row.0 != FORM {
        return Err(serde::de::Error::custom("a newer version wrote the record"));
    }
    Ok(row.event(id))
}

fn bits<const N: usize>(flags: [bool; N]) -> u8 {
    flags
        .iter()
        .rev()
        .fold(0, |bits, flag| bits << 1 | u8::from(*flag))
}

fn has(bits: u8, at: u8) -> bool {
    bits >> at & 1 == 1
}

fn texts(texts: Option<&String>) -> Option<Text<'_>> {
    texts.map(Text::from)
}

fn strings(text: Option<Text<'_>>) -> Option<String> {
    text.map(String::from)
}

impl<'a> Row<'a> {
    fn of(event: &'a LedgerEvent) -> Self {
        // Destructured, so that a new figure does not compile until it has a place here.
        let LedgerEvent {
            request_id: _,
            at,
            key_id,
            key_name,
            account_id,
            account_name,
            platform,
            endpoint,
            model,
            stream,
            status,
            error,
            detail,
            tokens,
            cost,
            charges,
            price_version,
            quality,
            first_byte_ms,
            duration_ms,
            attempts,
            client,
            session,
            trace,
        } = event;
        let Tokens {
            input,
            output,
            cache_write_5m,
            cache_write_1h,
            cache_read,
        } = *tokens;
        Self(
            FORM,
            *at,
            key_id.into(),
            key_name.into(),
            account_id.into(),
            account_name.into(),
            *platform,
            endpoint.into(),
            model.into(),
            bits([*stream]),
            *status,
            texts(error.as_ref()),
            texts(detail.as_ref()),
            [input, output, cache_write_5m, cache_write_1h, cache_read],
            *cost,
            charges.clone(),
            price_version.into(),
            *quality,
            *first_byte_ms,
            *duration_ms,
            *attempts,
            client.into(),
            texts(session.as_ref()),
            trace.as_ref().map(|trace| Trace::of(trace, event)),
        )
    }

    fn event(self, id: &str) -> LedgerEvent {
        let Self(
            _,
            at,
            key_id,
            key_name,
            account_id,
            account_name,
            platform,
            endpoint,
            model,
            flags,
            status,
            error,
            detail,
            [input, output, cache_write_5m, cache_write_1h, cache_read],
            cost,
            charges,
            price_version,
            quality,
            first_byte_ms,
            duration_ms,
            attempts,
            client,
            session,
            trace,
        ) = self;
        let (account_id, account_name) = (String::from(account_id), String::from(account_name));
        LedgerEvent {
            request_id: id.to_owned(),
            at,
            key_id: key_id.into(),
            key_name: key_name.into(),
            trace: trace.map(|trace| trace.trace(&account_id, &account_name)),
            account_id,
            account_name,
            platform,
            endpoint: endpoint.into(),
            model: model.into(),
            stream: has(flags, 0),
            status,
            error: strings(error),
            detail: strings(detail),
            tokens: Tokens {
                input,
                output,
                cache_write_5m,
                cache_write_1h,
                cache_read,
            },
            cost,
            charges,
            price_version: price_version.into(),
            quality,
            first_byte_ms,
            duration_ms,
            attempts,
            client: client.into(),
            session: strings(session),
        }
    }
}

impl<'a> Trace<'a> {
    fn of(trace: &'a CallTrace, event: &'a LedgerEvent) -> Self {
        let CallTrace {
            session,
            route,
            sticky,
            bound,
            followed,
            waited_ms,
            attempts,
            nobody_left,
            cache_read_share,
            previous_cache_read_share,
        } = trace;
        Self(
            *session,
            bits([*sticky, *bound]),
            texts(followed.as_ref()),
            *waited_ms,
            attempts
                .iter()
                .map(|attempt| Attempt::of(attempt, event))
                .collect(),
            nobody_left.clone(),
            *cache_read_share,
            *previous_cache_read_share,
            route.clone(),
        )
    }

    fn trace(self, account_id: &str, account_name: &str) -> CallTrace {
        let Self(session, flags, followed, waited_ms, attempts, nobody_left, share, previous, route) = self;
        let attempts = attempts.into_iter();
        CallTrace {
            session,
            route,
            sticky: has(flags, 0),
            bound: has(flags, 1),
            followed: strings(followed),
            waited_ms,
            attempts: attempts
                .map(|attempt| attempt.attempt(account_id, account_name))
                .collect(),
            nobody_left,
            cache_read_share: share,
            previous_cache_read_share: previous,
        }
    }
}

impl<'a> Attempt<'a> {
    fn of(attempt: &'a TracedAttempt, event: &'a LedgerEvent) -> Self {
        let TracedAttempt {
            account_id,
            account_name,
            status,
            error,
            reasoning_left_out,
            started_ms,
            duration_ms,
            candidates,
            ranked,
            figures,
            skipped,
            not_listed,
        } = attempt;
        let named = |name: &'a String| texts(Some(name).filter(|name| **name != event.account_name));
        Self(
            texts(Some(account_id).filter(|id| **id != event.account_id)),
            named(account_name),
            *status,
            texts(error.as_ref()),
            *reasoning_left_out,
            *started_ms,
            *duration_ms,
            *candidates,
            ranked.iter().map(named).collect(),
            figures.iter().map(Figures::of).collect(),
            skipped.clone(),
            *not_listed,
        )
    }

    fn attempt(self, id: &str, name: &str) -> TracedAttempt {
        let Self(
            account_id,
            account_name,
            status,
            error,
            reasoning_left_out,
            started_ms,
            duration_ms,
            candidates,
            ranked,
            figures,
            skipped,
            not_listed,
        ) = self;
        let or =
            |text: Option<Text<'_>>, otherwise: &str| strings(text).unwrap_or_else(|| otherwise.to_owned());
        TracedAttempt {
            account_id: or(account_id, id),
            account_name: or(account_name, name),
            status,
            error: strings(error),
            reasoning_left_out,
            started_ms,
            duration_ms,
            candidates,
            ranked: ranked.into_iter().map(|ranked| or(ranked, name)).collect(),
            figures: figures.into_iter().map(Figures::figures).collect(),
            skipped,
            not_listed,
        }
    }
}

impl<'a> Figures<'a> {
    fn of(figures: &'a RankFigures) -> Self {
        let RankFigures {
            fallback,
            backed_off,
            priority,
            in_reserve,
            load_permille,
            held,
            max_concurrency,
            used_permille,
            resets_at,
        } = figures;
        Self(
            bits([*fallback, *backed_off, *in_reserve]),
            *priority,
            *load_permille,
            *held,
            *max_concurrency,
            *used_permille,
            texts(resets_at.as_ref()),
        )
    }

    fn figures(self) -> RankFigures {
        let Self(flags, priority, load_permille, held, max_concurrency, used_permille, resets_at) = self;
        RankFigures {
            fallback: has(flags, 0),
            backed_off: has(flags, 1),
            priority,
            in_reserve: has(flags, 2),
            load_permille,
            held,
            max_concurrency,
            used_permille,
            resets_at: strings(resets_at),
        }
    }
}

#[cfg(test)]
mod tests;
