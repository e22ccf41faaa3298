//! Handles a model call in any protocol: authenticates the key, reserves entry at its gate, reads the body, and
//! serves the call.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use tracing::Instrument as _;

use super::{body, client_key, dialect, intake};
use crate::app::App;
use crate::dialect::body::tools::HostedTools;
use crate::dialect::body::{Field, Fields, form, scan};
use crate::dialect::call::{Call, Endpoint, request_id};
use crate::dialect::origin::{self, Kind, Reference};
use crate::dialect::session::{Session, Signals};
use crate::error::{Code, Failure};
use crate::model::name::ModelName;
use crate::plan::Plans;
use crate::port::gates::KeyHash;
use crate::port::random;
use crate::relay;
use crate::relay::entry::{self, Arrival, Entry};
use crate::relay::line::SocketTurn;
use crate::relay::{refusal_writer, span};
use crate::state::body_memory::Reservation;

/// Together with the address, a longer query does not fit into a URI.
const LONGEST_QUERY: usize = 8 << 10;

/// Lifetime of a slot while the body is read, longer than reading and decompressing can take.
pub(super) const BODY_TTL: Duration = body::PATIENCE.saturating_add(Duration::from_secs(30));

/// A client's request, to be parsed by its protocol.
pub(super) struct ReceivedRequest<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) fields: &'a Fields,
    /// Decompressed.
    pub(super) body: &'a [u8],
}

/// The values that a protocol extracts from a request.
pub(super) struct Particulars {
    /// Empty if the call has no model.
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) session: Option<Session>,
    /// The stored object that the call is about.
    pub(super) object: Option<String>,
    /// The client's limit for the output, tokens.
    pub(super) max_output: Option<u64>,
    pub(super) hosted: HostedTools,
}

impl<'a> ReceivedRequest<'a> {
    /// The same for an object inside the body.
    pub(super) fn within<'b>(&self, fields: &'b Fields, body: &'b [u8]) -> ReceivedRequest<'b>
    where
        'a: 'b,
    {
        ReceivedRequest {
            headers: self.headers,
            fields,
            body,
        }
    }

    /// The session of the call, by the signals of its protocol.
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

    /// Tools that the provider runs.
    pub(super) fn hosted(&self) -> HostedTools {
        let tools = self.fields.raw(Field::Tools, self.body);
        let search = self.fields.raw(Field::WebSearchOptions, self.body);
        let read = tools.map_or_else(HostedTools::default, HostedTools::read);
        read.and_search(search.is_some_and(|options| options.starts_with(b"{")))
    }

    /// The model, for protocols that have it in the body.
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

/// Serves one call of this kind; `read` parses its protocol.
pub(super) async fn serve(
    app: &App,
    plans: impl Into<Plans>,
    endpoint: Endpoint,
    mut request: Request,
    read: impl FnOnce(&ReceivedRequest<'_>) -> Result<Particulars, Failure> + Send + 'static,
) -> Response<Body> {
    let socket = request.extensions_mut().remove::<Arc<SocketTurn>>();
    let plans = plans.into();
    let at = app.ports.clock.now();
    let id = random::call_id(at, &*app.ports.random);
    let started = app.ports.clock.ticks();
    let answered = async {
        let key = client_key::client_key(app, request.headers(), request.uri().query())
            .inspect_err(|failure| refusal_writer::count(app, None, id, failure))?;
        let caller = Caller {
            id,
            at,
            started,
            key: key.clone(),
        };
        let (call, entry, memory) = take_in(app, plans, endpoint, caller, request, read)
            .await
            .inspect_err(|failure| refusal_writer::count(app, Some(&key), id, failure))?;
        relay::serve(app, plans, call, entry, memory, socket).await
    };
    match answered.instrument(span::of_call(id)).await {
        Ok(response) => response.map(Body::new),
        Err(failure) => dialect::refuse(app, plans.own.dialect, &failure, &request_id(id)),
    }
}

/// The call's key, and its arrival.
struct Caller {
    id: crs_durable::CallId,
    /// Wall clock, milliseconds.
    at: u64,
    /// Ticks of the clock.
    started: u64,
    key: KeyHash,
}

/// Asks the key's gate, and then reads the client's body.
async fn take_in(
    app: &App,
    plans: Plans,
    endpoint: Endpoint,
    caller: Caller,
    request: Request,
    read: impl FnOnce(&ReceivedRequest<'_>) -> Result<Particulars, Failure> + Send + 'static,
) -> Result<(Call, Entry, Reservation), Failure> {
    let Caller { id, at, started, key } = caller;
    let (head, body) = request.into_parts();
    let entered = async {
        let coding = intake::coding(&head.headers);
        let arrival = Arrival {
            id,
            key: &key,
            endpoint,
            headers: &head.headers,
            costly: intake::is_costly(&head.headers, coding.as_ref().ok().copied().flatten()),
            body_ttl_ms: BODY_TTL.as_millis() as u64,
        };
        let entry = entry::enter(app, plans, &arrival).await?;
        Ok((entry, coding?))
    };
    let (entry, coding) = match entered.await {
        Ok(entered) => entered,
        Err(failure) => {
            Box::pin(body::swallow(body, body::MOST_SWALLOWED, &*app.ports.clock)).await;
            return Err(failure);
        }
    };
    let mut memory = Reservation::new(&app.body_memory, &key);
    let (body, packed) = intake::take(app, body, coding, &mut memory).await?;
    // These calls have no body; what a client sends all the same is not passed on.
    let (body, packed) = if endpoint.is_about_an_object() {
        (Bytes::new(), None)
    } else {
        (body, packed)
    };
    let large = body.len() > intake::LARGE;
    let (uri, headers) = (head.uri, head.headers);
    let is_form = matches!(endpoint, Endpoint::Images(_)) && form::of(&headers).is_some();
    let other = is_form || endpoint.is_about_an_object();
    let parse = move || parse(headers, body, other, read);
    let (headers, body, parsed) = if large {
        Box::pin(intake::apart(app, parse)).await?
    } else {
        parse()
    };
    let (fields, particulars) = parsed?;
    let Particulars {
        model,
        stream,
        session,
        object,
        max_output,
        hosted,
    } = particulars;
    // All protocols pass here: from here on a model's name is safe in a path, and limits see the same name as the
    // provider.
    let model = if model.is_empty() && endpoint.is_about_no_model() {
        ModelName::none()
    } else {
        ModelName::parse(&model).map_err(|why| invalid(format!("The model's name {why}.")))?
    };
    let query = uri.query().map(str::to_owned);
    if query.as_ref().is_some_and(|query| query.len() > LONGEST_QUERY) {
        return Err(invalid(format!(
            "The query is longer than {LONGEST_QUERY} bytes."
        )));
    }
    let refers_to = match &object {
        Some(id) => vec![Reference::new(Kind::Response, id.as_bytes())],
        None => origin::referred_to(endpoint, &fields, &body),
    };
    let call = Call {
        refers_to,
        stored: origin::is_stored(&fields, &body),
        background: origin::is_background(&fields, &body),
        object: object.map(String::into_boxed_str),
        id,
        at,
        started,
        key,
        endpoint,
        query,
        headers,
        fields,
        model,
        stream,
        session,
        max_output,
        hosted,
        body,
        packed,
        only: None,
    };
    Ok((call, entry, memory))
}

/// Scans the body, unless it is `other` than JSON, and parses it with its protocol. Returns the request as well.
fn parse(
    headers: HeaderMap,
    body: Bytes,
    other: bool,
    read: impl FnOnce(&ReceivedRequest<'_>) -> Result<Particulars, Failure>,
) -> (HeaderMap, Bytes, Result<(Fields, Particulars), Failure>) {
    let scanned = if other { Ok(Fields::default()) } else { scan(&body) };
    let parsed = scanned
        .map_err(|error| invalid(error.to_string()))
        .and_then(|fields| {
            let particulars = read(&ReceivedRequest {
                headers: &headers,
                fields: &fields,
                body: &body,
            })?;
            Ok((fields, particulars))
        });
    (headers, body, parsed)
}

pub(super) fn invalid(message: String) -> Failure {
    Failure::new(Code::InvalidBody, message)
}
