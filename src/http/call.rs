//! From a request to a model call and its answer, in whatever protocol: who, then whether it may come in, then
//! what.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use tracing::Instrument as _;

use super::{body, client_key, dialect, intake};
use crate::app::App;
use crate::dialect::body::tools::HostedTools;
use crate::dialect::body::{Field, Fields, scan};
use crate::dialect::call::{Call, Endpoint, request_id};
use crate::dialect::origin;
use crate::dialect::session::{Session, Signals};
use crate::error::{Code, Failure};
use crate::model::name::ModelName;
use crate::plan::{Plan, Plans};
use crate::port::gates::KeyHash;
use crate::port::random;
use crate::relay;
use crate::relay::entry::{self, Arrival, Entry};
use crate::relay::{refusal_writer, span};
use crate::state::body_memory::Reservation;

/// With the address before it, a longer query makes no URI any more.
const LONGEST_QUERY: usize = 8 << 10;

/// How long a slot is held for a call whose body is read: longer than that, unpacking included, can take.
const BODY_TTL: Duration = body::PATIENCE.saturating_add(Duration::from_secs(30));

/// A client's request, for its protocol to read.
pub(super) struct ReceivedRequest<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) fields: &'a Fields,
    /// Opened, if it came compressed.
    pub(super) body: &'a [u8],
}

/// The particulars that a protocol finds in a request.
pub(super) struct Particulars {
    /// Empty: the call is about no model.
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) session: Option<Session>,
    /// The most output that the client allows, tokens.
    pub(super) max_output: Option<u64>,
    pub(super) hosted: HostedTools,
}

impl<'a> ReceivedRequest<'a> {
    /// The same of an object within the body.
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

    /// Tools that the provider is to run.
    pub(super) fn hosted(&self) -> HostedTools {
        let tools = self.fields.raw(Field::Tools, self.body);
        let search = self.fields.raw(Field::WebSearchOptions, self.body);
        let read = tools.map_or_else(HostedTools::default, HostedTools::read);
        read.and_search(search.is_some_and(|options| options.starts_with(b"{")))
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
    plans: impl Into<Plans>,
    endpoint: Endpoint,
    request: Request,
    read: impl FnOnce(&ReceivedRequest<'_>) -> Result<Particulars, Failure> + Send + 'static,
) -> Response<Body> {
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
        let (plan, otherwise) = plans.of(&call.model);
        relay::serve(app, plan, otherwise, call, entry, memory).await
    };
    match answered.instrument(span::of_call(id)).await {
        Ok(response) => response.map(Body::new),
        Err(failure) => dialect::refuse(app, plans.own.dialect, &failure, &request_id(id)),
    }
}

/// Whose call it is, and since when.
struct Caller {
    id: crs_durable::CallId,
    /// Wall clock, milliseconds.
    at: u64,
    /// Ticks of the clock.
    started: u64,
    key: KeyHash,
}

/// Whether the key's gate lets the caller in, and then what it sends.
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
        let entry = entry::enter(app, plans.all().map(Plan::service), &arrival).await?;
        Ok((entry, coding?))
    };
    let (entry, coding) = match entered.await {
        Ok(entered) => entered,
        Err(failure) => {
            body::swallow(body, body::MOST_SWALLOWED, &*app.ports.clock).await;
            return Err(failure);
        }
    };
    let mut memory = Reservation::new(&app.body_memory, &key);
    let (body, packed) = intake::take(app, body, coding, &mut memory).await?;
    let large = body.len() > intake::LARGE;
    let (uri, headers) = (head.uri, head.headers);
    let parse = move || parse(headers, body, read);
    let (headers, body, parsed) = if large {
        intake::apart(app, parse).await?
    } else {
        parse()
    };
    let (fields, particulars) = parsed?;
    let Particulars {
        model,
        stream,
        session,
        max_output,
        hosted,
    } = particulars;
    // Here all protocols pass: behind this line a model's name is safe in a path, and limits see the same
    // name as the provider.
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
    let call = Call {
        refers_to: origin::referred_to(endpoint, &fields, &body),
        stored: origin::is_stored(&fields, &body),
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

/// Walks over the body, and has its protocol find what it must know. Gives back what it was given.
fn parse(
    headers: HeaderMap,
    body: Bytes,
    read: impl FnOnce(&ReceivedRequest<'_>) -> Result<Particulars, Failure>,
) -> (HeaderMap, Bytes, Result<(Fields, Particulars), Failure>) {
    let parsed = scan(&body)
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
