//! From a request to a model call and its answer, in whatever protocol: who, then how much, then what.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response, header};
use bytes::Bytes;

use super::{body, client_key, dialect};
use crate::app::App;
use crate::error::{Code, Failure};
use crate::port::random;
use crate::provider::Provider;
use crate::relay;
use crate::relay::body::coding::{self, Closed};
use crate::relay::body::{Field, Fields, scan};
use crate::relay::call::{Call, Endpoint, Packed, request_id};
use crate::relay::origin;
use crate::relay::session::{Session, Signals};

/// No provider names its models with more, bytes.
const LONGEST_MODEL: usize = 256;

/// With the address before it, a longer query makes no URI any more.
const LONGEST_QUERY: usize = 8 << 10;

/// What a client sent, for its protocol to read.
pub(super) struct Told<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) fields: &'a Fields,
    /// Opened, if it came compressed.
    pub(super) body: &'a [u8],
}

/// What a protocol found in it.
pub(super) struct Particulars {
    /// Empty: the call is about no model.
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) session: Option<Session>,
    /// The most output that the client allows, tokens.
    pub(super) max_output: Option<u64>,
}

impl<'a> Told<'a> {
    /// The same of an object within the body.
    pub(super) fn within<'b>(&self, fields: &'b Fields, body: &'b [u8]) -> Told<'b>
    where
        'a: 'b,
    {
        Told {
            headers: self.headers,
            fields,
            body,
        }
    }

    /// What ties the call to its conversation, by the signals of its protocol.
    pub(super) fn session(&self, signals: &Signals) -> Option<Session> {
        Session::of(signals, self.headers, self.fields, self.body)
    }

    pub(super) fn number(&self, field: Field) -> Option<u64> {
        let raw = self.fields.raw(field, self.body)?;
        std::str::from_utf8(raw).ok()?.trim().parse().ok()
    }

    pub(super) fn text(&self, field: Field) -> Option<String> {
        let text = self.fields.text(field, self.body)?;
        (!text.is_empty()).then(|| text.into_owned())
    }

    /// The model, where the protocol has it in the body.
    pub(super) fn model(&self) -> Result<String, Failure> {
        let model = self
            .fields
            .model(self.body)
            .map_err(|error| invalid(error.to_string()))?
            .filter(|model| !model.is_empty());
        model.map(std::borrow::Cow::into_owned).ok_or_else(|| {
            invalid("The request names no model: `model` must be a string that is not empty.".to_owned())
        })
    }
}

/// Serves one call of this kind; `read` is its protocol.
pub(super) async fn serve(
    app: &App,
    provider: &'static dyn Provider,
    endpoint: Endpoint,
    request: Request,
    read: impl FnOnce(&Told<'_>) -> Result<Particulars, Failure> + Send,
) -> Response<Body> {
    let at = app.ports.clock.now();
    let id = random::call_id(at, &*app.ports.random);
    let answered = async {
        let call = parse(app, endpoint, id, at, request, read).await?;
        relay::serve(app, provider, call).await
    };
    match answered.await {
        Ok(response) => response.map(Body::new),
        Err(failure) => dialect::refuse(app, provider, &failure, &request_id(id)),
    }
}

async fn parse(
    app: &App,
    endpoint: Endpoint,
    id: crs_durable::CallId,
    at: u64,
    request: Request,
    read: impl FnOnce(&Told<'_>) -> Result<Particulars, Failure> + Send,
) -> Result<Call, Failure> {
    let started = app.ports.clock.ticks();
    let (head, body) = request.into_parts();
    let key = client_key::client_key(app, &head.headers, head.uri.query())?;
    let limit = app.config.relay.max_body;
    let came = body::read(body, limit, &*app.ports.clock).await?;
    let (body, packed) = opened(&head.headers, came, limit)?;
    let fields = scan(&body).map_err(|error| invalid(error.to_string()))?;
    let Particulars {
        model,
        stream,
        session,
        max_output,
    } = read(&Told {
        headers: &head.headers,
        fields: &fields,
        body: &body,
    })?;
    if model.len() > LONGEST_MODEL {
        return Err(invalid(format!("`model` is longer than {LONGEST_MODEL} bytes.")));
    }
    let query = client_key::query_for_provider(head.uri.query());
    if query.as_ref().is_some_and(|query| query.len() > LONGEST_QUERY) {
        return Err(invalid(format!(
            "The query is longer than {LONGEST_QUERY} bytes."
        )));
    }
    Ok(Call {
        refers_to: origin::referred_to(endpoint, &fields, &body),
        id,
        at,
        started,
        key,
        endpoint,
        query,
        headers: head.headers,
        fields,
        model,
        stream,
        session,
        max_output,
        body,
        packed,
        only: None,
    })
}

/// The body to read, and beside it the one that came if it came compressed.
fn opened(headers: &HeaderMap, came: Bytes, limit: usize) -> Result<(Bytes, Option<Packed>), Failure> {
    let Some(coding) = headers
        .get(header::CONTENT_ENCODING)
        .filter(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    else {
        return Ok((came, None));
    };
    let body = coding::open(coding.to_str().unwrap_or_default(), &came, limit).map_err(|closed| {
        let code = match closed {
            Closed::TooLarge => Code::BodyTooLarge,
            Closed::Unknown | Closed::Broken => Code::InvalidBody,
        };
        Failure::new(code, closed.to_string())
    })?;
    let packed = Packed {
        bytes: came,
        coding: coding.clone(),
    };
    Ok((body, Some(packed)))
}

pub(super) fn invalid(message: String) -> Failure {
    Failure::new(Code::InvalidBody, message)
}
