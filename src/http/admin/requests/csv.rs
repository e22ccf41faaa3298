//! `/admin/requests.csv`: the matching calls as CSV.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{self, HeaderValue};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::super::api_error::{ApiError, ErrorBody};
use super::super::super::extract::{AdminSession, Params};
use super::{cost, moment};
use crate::app::App;
use crate::model::account::Platform;
use crate::model::time;
use crate::model::usage::LedgerEvent;
use crate::port::store::StoreError;
use crate::store::ledger::{Cursor, Filter};

const ROWS: u32 = 10_000;
const MOST_ROWS: u32 = 100_000;

/// Number of calls read per piece of the answer.
const PIECE: usize = 500;

/// The last row if more calls match than were requested.
const MORE: &str = "(more)\r\n";

const COLUMNS: &str = "requestId,at,keyId,keyName,accountId,accountName,platform,endpoint,model,stream,status,error,\
    detail,input,output,cacheWrite5m,cacheWrite1h,cacheRead,costUsd,quality,firstByteMs,durationMs,attempts,session,\
    client\r\n";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::admin) struct ExportQuery {
    /// Maximum number of rows. Default: 10000. If more calls match, the last row is just `(more)`.
    #[param(minimum = 1, maximum = 100_000)]
    limit: Option<u32>,
    key_id: Option<String>,
    account_id: Option<String>,
    model: Option<String>,
    /// The client's status.
    status: Option<u16>,
    /// Only calls whose answer was an error, or broke off.
    errors_only: Option<bool>,
    /// Only calls that ended with exactly this code.
    error: Option<String>,
    #[param(inline)]
    platform: Option<Platform>,
    /// Minimum duration, milliseconds.
    slower_than: Option<u64>,
    /// Minimum cost, USD.
    #[param(minimum = 0)]
    dearer_than: Option<f64>,
    /// Only calls of this conversation, see `session` of a call.
    session: Option<String>,
    /// Inclusive: ISO 8601, or a day in the operator's time zone.
    from: Option<String>,
    /// Exclusive; for a day, up to its end.
    to: Option<String>,
}

/// The matching calls, newest first, as CSV (RFC 4180, UTF-8).
///
/// Streamed in pieces of 500 calls, each read after the client has taken the one before. If the store fails, the
/// connection breaks off, so a partial answer never looks complete. A field that a spreadsheet would take for a
/// formula gets a `'` in front. Reads all calls of the period, whether they match or not.
#[utoipa::path(
    get, path = "/admin/requests.csv", operation_id = "exportRequests", tag = "usage", security(("admin" = [])), params(ExportQuery),
    responses(
        (status = 200, body = String, content_type = "text/csv"),
        (status = 422, body = ErrorBody<'_>),
    )
)]
pub(in crate::http::admin) async fn export(
    State(app): State<App>,
    _: AdminSession,
    Params(query): Params<ExportQuery>,
) -> Result<Response, ApiError> {
    let limit = query.limit.unwrap_or(ROWS);
    if !(1..=MOST_ROWS).contains(&limit) {
        let message = format!("`limit` must be from 1 to {MOST_ROWS}");
        return Err(ApiError::invalid("limit", message));
    }
    let from = query.from.as_deref().map(|text| moment(&app, "from", text, 0));
    let to = query.to.as_deref().map(|text| moment(&app, "to", text, 1));
    let export = Export {
        filter: Filter {
            key_id: query.key_id,
            account_id: query.account_id,
            model: query.model,
            status: query.status,
            errors_only: query.errors_only.unwrap_or(false),
            error: query.error,
            platform: query.platform,
            slower_than: query.slower_than,
            dearer_than: query.dearer_than.map(cost).transpose()?,
            session: query.session,
            from: from.transpose()?,
            to: to.transpose()?,
        },
        app,
        place: Place::Beginning,
        left: limit as usize,
    };
    let body = Body::from_stream(stream::try_unfold(export, Export::next));
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/csv; charset=utf-8"),
        ),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"requests.csv\""),
        ),
    ];
    Ok((headers, body).into_response())
}

/// The state of an answer.
enum Place {
    Beginning,
    After(Cursor),
    End,
}

struct Export {
    app: App,
    filter: Filter,
    place: Place,
    /// Number of rows that may still be written.
    left: usize,
}

impl Export {
    /// The next piece, and the export after it.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, StoreError> {
        let (after, mut text) = match &self.place {
            Place::Beginning => (None, COLUMNS.to_owned()),
            Place::After(cursor) => (Some(cursor), String::new()),
            Place::End => return Ok(None),
        };
        // Reads one more than fits, to know whether more match.
        let limit = PIECE.min(self.left + 1);
        let now = self.app.ports.clock.now();
        let page = self.app.ledger.requests(&self.filter, after, limit, now).await?;
        let more = page.items.len() > self.left;
        for event in page.items.iter().take(self.left) {
            write_row(event, &mut text);
        }
        self.left -= page.items.len().min(self.left);
        self.place = match page.next {
            _ if more => {
                text.push_str(MORE);
                Place::End
            }
            Some(cursor) => Place::After(cursor),
            None => Place::End,
        };
        Ok(Some((text.into(), self)))
    }
}

fn write_row(event: &LedgerEvent, text: &mut String) {
    let number = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
    let fields = [
        event.request_id.clone(),
        time::iso(event.at),
        event.key_id.clone(),
        event.key_name.clone(),
        event.account_id.clone(),
        event.account_name.clone(),
        event.platform.name().to_owned(),
        event.endpoint.clone(),
        event.model.clone(),
        event.stream.to_string(),
        event.status.to_string(),
        event.error.clone().unwrap_or_default(),
        event.detail.clone().unwrap_or_default(),
        event.tokens.input.to_string(),
        event.tokens.output.to_string(),
        event.tokens.cache_write_5m.to_string(),
        event.tokens.cache_write_1h.to_string(),
        event.tokens.cache_read.to_string(),
        format!("{}.{:06}", event.cost.0 / 1_000_000, event.cost.0 % 1_000_000),
        event.quality.name().to_owned(),
        number(event.first_byte_ms),
        event.duration_ms.to_string(),
        event.attempts.to_string(),
        event.session.clone().unwrap_or_default(),
        event.client.clone(),
    ];
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        write_field(field, text);
    }
    text.push_str("\r\n");
}

/// Quotes a field, and marks text that a spreadsheet would run as a formula.
fn write_field(field: &str, text: &mut String) {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quoted = formula || field.contains([',', '"', '\r', '\n']);
    if !quoted {
        text.push_str(field);
        return;
    }
    text.push('"');
    if formula {
        text.push('\'');
    }
    text.push_str(&field.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_one_field_and_never_a_formula() {
        for (field, written) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("=\"x\"", "\"'=\"\"x\"\"\""),
            ("a=1", "a=1"),
        ] {
            let mut text = String::new();
            write_field(field, &mut text);
            assert_eq!(text, written);
        }
    }
}
