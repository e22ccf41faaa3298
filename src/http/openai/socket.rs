//! `GET /responses` as a WebSocket: Codex' first choice.
//!
//! Each turn is an ordinary call: a request with the message as its body goes where a POST goes, with the headers of
//! the upgrade, so the key, limits, queue, accounts, ledger and trace are those of HTTP. What is refused there is an
//! `error` frame here, and the connection stays. [`crate::dialect::openai::socket`] has the protocol. A turn carries the
//! connection's [`ProviderLine`], over which the provider is asked if it offers WebSockets, too.
//!
//! Turns run one after the other. The connection is read meanwhile, so that a client that leaves ends its call. What
//! it sends before its turn has ended waits, bounded ([`MOST_WAITING`]). What comes beyond is refused in its order, after
//! the turns that wait, and ends the connection; no turn is cut off for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use bytes::Bytes;
use crs_durable::CallId;
use http_body_util::BodyExt as _;

use crate::app::{App, HostKind};
use crate::dialect::call::{Endpoint, request_id};
use crate::dialect::openai::socket::carried::Carried;
use crate::dialect::openai::socket::events::{End, Events};
use crate::dialect::openai::socket::request::{Asked, Turn, Unserved, read};
use crate::dialect::openai::socket::{SocketError, rate_limits, refused, version, warmed_up};
use crate::dialect::openai::{OpenAi, SESSION};
use crate::error::{Code, Failure};
use crate::http::call::{BODY_TTL, invalid};
use crate::http::dialect::{refuse, refuse_outside, wrong_method};
use crate::http::extract::ClientAddress;
use crate::http::{client_key, intake};
use crate::model::id;
use crate::plan::RESPONSES;
use crate::port::clock::within;
use crate::port::gates::KeyHash;
use crate::port::random;
use crate::port::socket::{Close, Gone, Received, Socket};
use crate::relay::entry::{self, Arrival};
use crate::relay::line::{ProviderLine, SocketTurn};
use crate::relay::refusal_writer;
use crate::state::body_memory::Reservation;

/// Upper bound of a message, bytes; `REQUEST_MAX_SIZE_MB` may be less. Cloudflare accepts no larger one, and natively
/// a message is whole in memory before it is counted.
const LARGEST: usize = 32 << 20;

/// Messages that may wait for the turn before them.
const MOST_WAITING: usize = 4;

/// How long a connection may stay without a turn.
const IDLE: Duration = Duration::from_mins(10);

/// How long a connection takes new turns, as at OpenAI.
const LIFETIME: Duration = Duration::from_hours(1);

/// How long the end of an answer is waited for once the client has its last event.
const REST: Duration = Duration::from_secs(2);

/// Upper bound of a refusal's body, bytes.
const MOST_OF_REFUSAL: usize = 64 << 10;

/// Headers of the upgrade, or of its connection, that say nothing about a turn.
const OF_THE_UPGRADE: [HeaderName; 8] = [
    header::CONNECTION,
    header::UPGRADE,
    header::ACCEPT_ENCODING,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
    OPENAI_BETA,
];

/// Names the version of this protocol.
const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");

/// Answers a GET: an upgrade if it asks for one.
pub(super) async fn upgrade(State(app): State<App>, request: Request) -> Response<Body> {
    let (head, _) = request.into_parts();
    let Some(protocol) = head.headers.get(header::UPGRADE) else {
        return refuse_outside(&app, &OpenAi, &wrong_method());
    };
    if !app.config.openai.websocket {
        let why = "There are no WebSockets here. Send the call as a POST request.";
        return upgrade_required(&app, why, "HTTP/1.1");
    }
    if !protocol.as_bytes().eq_ignore_ascii_case(b"websocket") || !is_complete(&app, &head.headers) {
        let why = "The only upgrade here is a WebSocket of version 13. Send other calls as POST requests.";
        return upgrade_required(&app, why, "websocket");
    }
    let id = random::call_id(app.ports.clock.now(), &*app.ports.random);
    let key = match may_connect(&app, id, &head.headers, head.uri.query()).await {
        Ok(key) => key,
        Err(failure) => return refuse(&app, &OpenAi, &failure, &request_id(id)),
    };
    let mut headers = head.headers;
    let line = Arc::new(ProviderLine::new(version(headers.get(OPENAI_BETA))));
    for name in &OF_THE_UPGRADE {
        headers.remove(name);
    }
    let names: Vec<_> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("sec-websocket-"))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
    let accepted = Accepted {
        app,
        key,
        uri: head.uri,
        headers,
        address: head.extensions.get().copied(),
        name: id::text(id),
        line,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.extensions_mut().insert(accepted);
    response
}

/// Returns the key, if it may call at all.
async fn may_connect(
    app: &App,
    id: CallId,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<KeyHash, Failure> {
    let key = client_key::client_key(app, headers, query)
        .inspect_err(|failure| refusal_writer::count(app, None, id, failure))?;
    let arrival = Arrival {
        id,
        key: &key,
        // Opening a connection takes no slot; each turn does.
        endpoint: Endpoint::CountInput,
        headers,
        costly: true,
        body_ttl_ms: BODY_TTL.as_millis() as u64,
    };
    entry::enter(app, RESPONSES, &arrival)
        .await
        .inspect_err(|failure| refusal_writer::count(app, Some(&key), id, failure))?;
    Ok(key)
}

/// Whether the upgrade has what the native host needs; the edge checks it itself.
fn is_complete(app: &App, headers: &HeaderMap) -> bool {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    app.ports.host == HostKind::Worker
        || headers.contains_key(header::SEC_WEBSOCKET_KEY) && version.is_some_and(|version| version == "13")
}

/// Codex switches to POST at once after this status; after others it retries for seconds.
fn upgrade_required(app: &App, why: &str, protocol: &'static str) -> Response<Body> {
    let failure = Failure::new(Code::MethodNotAllowed, why).with_status(StatusCode::UPGRADE_REQUIRED);
    let mut response = refuse_outside(app, &OpenAi, &failure);
    // RFC 9110 §15.5.22: names the protocol to use instead.
    response
        .headers_mut()
        .insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response
}

/// An accepted upgrade, in the extensions of its response. The host makes the connection, and hands it over.
#[derive(Clone)]
pub struct Accepted {
    app: App,
    key: KeyHash,
    /// Of the upgrade, for each turn.
    uri: Uri,
    headers: HeaderMap,
    address: Option<ClientAddress>,
    /// The session of turns that name none.
    name: String,
    line: Arc<ProviderLine>,
}

/// Why a connection ends.
enum Ends {
    /// The client has left.
    Gone,
    With(Close, &'static str),
}

impl From<Gone> for Ends {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Accepted {
    /// Maximum size of a message, bytes.
    pub fn most(&self) -> usize {
        self.app.config.relay.max_body.min(LARGEST)
    }

    /// Serves the connection until it ends.
    pub async fn serve(self, socket: &mut dyn Socket) {
        let opened = self.app.ports.clock.ticks();
        let memory = Reservation::new(&self.app.body_memory, &self.key);
        let mut connection = Connection {
            with: self,
            opened,
            carried: Carried::default(),
            memory,
            waiting: VecDeque::new(),
            has_dropped: false,
            is_readable: true,
            is_ending: false,
        };
        let ends = connection.run(socket).await;
        socket.busy(false);
        if let Ends::With(close, reason) = ends {
            socket.close(close, reason).await;
        }
    }

    /// The request of one turn.
    fn request(&self, turn: &Turn) -> Request {
        let body = &turn.body;
        let mut request = Request::new(Body::from(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        if let Some(address) = self.address {
            request.extensions_mut().insert(address);
        }
        request.extensions_mut().insert(Arc::new(SocketTurn {
            line: self.line.clone(),
            continues: turn.continues(),
        }));
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        // The turns of one connection stay on one account, also if nothing in them says that they belong together.
        if !turn.has_cache_key
            && !SESSION.name_session(headers)
            && let Ok(name) = HeaderValue::from_str(&self.name)
        {
            headers.insert("x-session-id", name);
        }
        request
    }
}

struct Connection {
    with: Accepted,
    /// `Clock::ticks`.
    opened: u64,
    carried: Carried,
    /// For the carried items.
    memory: Reservation,
    waiting: VecDeque<Received>,
    /// Messages beyond [`MOST_WAITING`] came, and were dropped.
    has_dropped: bool,
    /// Nothing can be read after a message that is too large.
    is_readable: bool,
    is_ending: bool,
}

impl Connection {
    async fn run(&mut self, socket: &mut dyn Socket) -> Ends {
        loop {
            match self.step(socket).await {
                Ok(()) => {}
                Err(ends) => return ends,
            }
        }
    }

    /// Waits for a message, and serves it.
    async fn step(&mut self, socket: &mut dyn Socket) -> Result<(), Ends> {
        let app = self.with.app.clone();
        let Some(received) = self.waiting.pop_front() else {
            if self.has_dropped {
                let why = format!(
                    "More than {MOST_WAITING} messages waited for the turn before them. The others were dropped. Send a message when the turn before it has ended."
                );
                self.refuse(socket, &invalid(why)).await?;
                return Err(Ends::With(
                    Close::Policy,
                    "too many messages before the end of a turn",
                ));
            }
            if self.is_ending {
                return Err(Ends::With(Close::Away, "no other turn here, connect again"));
            }
            socket.busy(false);
            let message = within(&*app.ports.clock, IDLE, next(socket, &self.with.line)).await;
            let received = message.ok_or(Ends::With(Close::Normal, "no turn for ten minutes"))?;
            return self.take(received);
        };
        socket.busy(true);
        match received {
            Received::Text(message) => self.message(socket, message).await,
            Received::Binary => {
                self.refuse(socket, &invalid("Messages are JSON in text frames.".to_owned()))
                    .await
            }
            Received::TooLarge => {
                let most = self.with.most() >> 20;
                let why = format!(
                    "The message is larger than the {most} MB this relay accepts on a WebSocket. Shorten the conversation, or send it as a POST request."
                );
                self.refuse(socket, &Failure::new(Code::BodyTooLarge, why))
                    .await?;
                Err(Ends::With(Close::TooLarge, "the message is too large"))
            }
            Received::Ending | Received::Gone => Ok(()),
        }
    }

    /// Puts what came behind what waits.
    fn take(&mut self, received: Received) -> Result<(), Ends> {
        match received {
            Received::Gone => return Err(Ends::Gone),
            Received::Ending => self.is_ending = true,
            message => {
                self.is_readable = message != Received::TooLarge;
                // Dropped messages are read nevertheless: the edge would hold them in memory.
                if self.has_dropped || self.waiting.len() >= MOST_WAITING {
                    self.has_dropped = true;
                } else {
                    self.waiting.push_back(message);
                }
            }
        }
        Ok(())
    }

    async fn message(&mut self, socket: &mut dyn Socket, message: Bytes) -> Result<(), Ends> {
        let app = self.with.app.clone();
        let age = Duration::from_micros(app.ports.clock.ticks().saturating_sub(self.opened));
        // The client repeats the turn on a new connection.
        if self.is_ending || age >= LIFETIME {
            socket.send(SocketError::ConnectionLimit.frame()).await?;
            return Err(Ends::With(Close::Away, "open a new connection"));
        }
        let asked = if message.len() > intake::LARGE {
            let carried = std::mem::take(&mut self.carried);
            let apart = intake::apart(&app, move || (read(&message, &carried), carried)).await;
            match apart {
                Ok((asked, carried)) => {
                    self.carried = carried;
                    asked
                }
                Err(failure) => return self.refuse(socket, &failure).await,
            }
        } else {
            read(&message, &self.carried)
        };
        match asked {
            Ok(Asked::Turn(turn)) => self.turn(socket, turn).await,
            Ok(Asked::WarmUp { turn, model }) => {
                let at = app.ports.clock.now();
                let id = format!("resp_{:032x}", random::call_id(at, &*app.ports.random).0);
                for frame in warmed_up(&id, &model, at) {
                    socket.send(frame).await?;
                }
                self.keep(id, &turn, Some(Vec::new()));
                Ok(())
            }
            Ok(Asked::Nothing) => Ok(()),
            Err(Unserved::Invalid(why)) => self.refuse(socket, &invalid(why)).await,
            Err(Unserved::Socket(error)) => Ok(socket.send(error.frame()).await?),
        }
    }

    /// Refuses a message that no call is made of.
    async fn refuse(&self, socket: &mut dyn Socket, failure: &Failure) -> Result<(), Ends> {
        let response = refuse_outside(&self.with.app, &OpenAi, failure);
        Ok(socket.send(as_frame(response).await).await?)
    }

    /// Makes the call of one turn, and sends its answer.
    async fn turn(&mut self, socket: &mut dyn Socket, turn: Turn) -> Result<(), Ends> {
        let app = self.with.app.clone();
        let request = self.with.request(&turn);
        let response = self.beside(socket, super::ask(&app, request)).await?;
        if !response.status().is_success() {
            let frame = self.beside(socket, as_frame(response)).await?;
            return Ok(socket.send(frame).await?);
        }
        if let Some(frame) = rate_limits(response.headers()) {
            socket.send(frame).await?;
        }
        let mut body = response.into_body();
        let mut events = Events::default();
        while let Some(Ok(frame)) = self.beside(socket, body.frame()).await? {
            let Ok(data) = frame.into_data() else { continue };
            for frame in events.feed(&data) {
                socket.send(frame).await?;
            }
            if events.has_ended() {
                // The end of the answer settles the call; the next turn needs its slot.
                let rest = async { while let Some(Ok(_)) = body.frame().await {} };
                self.beside(socket, within(&*app.ports.clock, REST, rest)).await?;
                break;
            }
        }
        drop(body);
        let (frames, end) = events.finish();
        for frame in frames {
            socket.send(frame).await?;
        }
        match end {
            End::Finished { id, stored: true, .. } => {
                self.carried.stored(id);
                self.memory.shrink_to(0);
            }
            End::Finished { id, output, .. } => self.keep(id, &turn, output),
            // What was before can be continued again.
            End::Failed => {}
        }
        Ok(())
    }

    /// Keeps a response that the next turn may continue.
    fn keep(&mut self, id: String, turn: &Turn, output: Option<Vec<u8>>) {
        self.carried.keep(id, output.map(|output| turn.items(output)));
        let size = self.carried.size();
        if !self.memory.try_grow_to(size) {
            self.carried.drop_items();
        }
        self.memory.shrink_to(self.carried.size());
    }

    /// Resolves with `future`, unless the client leaves first. Takes what the client sends meanwhile.
    async fn beside<T>(
        &mut self,
        socket: &mut dyn Socket,
        future: impl Future<Output = T> + Send,
    ) -> Result<T, Ends> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            while self.is_readable {
                let Poll::Ready(received) = socket.poll_receive(context) else {
                    break;
                };
                if let Err(ends) = self.take(received) {
                    return Poll::Ready(Err(ends));
                }
            }
            self.with.line.poll_idle(context);
            future.as_mut().poll(context).map(Ok)
        })
        .await
    }
}

async fn next(socket: &mut dyn Socket, line: &ProviderLine) -> Received {
    std::future::poll_fn(|context| {
        line.poll_idle(context);
        socket.poll_receive(context)
    })
    .await
}

/// A refusal as a frame.
async fn as_frame(response: Response<Body>) -> String {
    let (head, mut body) = response.into_parts();
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data()
            && text.len() + data.len() <= MOST_OF_REFUSAL
        {
            text.extend_from_slice(&data);
        }
    }
    refused(head.status, &head.headers, &text)
}
