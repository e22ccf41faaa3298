//! Ends a call when its client leaves.
//!
//! The runtime does not drop a response's stream when the client leaves. But it fires the request's abort signal
//! (compatibility flag `enable_request_signal`): before the response this ends the handler, and after it a
//! background task drops the body. Either way the call is settled by being dropped, as on the native host. A
//! client that reads nothing for too long is treated as if it had left.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use http_body::{Body as _, Frame, SizeHint};
use worker::wasm_bindgen::JsCast as _;
use worker::wasm_bindgen::closure::Closure;
use worker::{AbortSignal, web_sys};

use super::body::EdgeBody;
use super::clock::EdgeClock;
use super::tasks::after_response;
use crate::port::clock::{Clock as _, Millis};
use crate::port::upstream::BodyError;

/// Resolves when the client has left.
pub(super) struct Departure {
    fired: Option<oneshot::Receiver<()>>,
    signal: Option<AbortSignal>,
    _listener: Option<Closure<dyn FnMut()>>,
}

impl Departure {
    pub(super) fn new(signal: Option<AbortSignal>) -> Self {
        let Some(signal) = signal else {
            return Self {
                fired: None,
                signal: None,
                _listener: None,
            };
        };
        let (fire, fired) = oneshot::channel();
        let mut fire = Some(fire);
        if signal.aborted() {
            fire.take().map(|fire| fire.send(()));
        }
        let listener = Closure::<dyn FnMut()>::new(move || {
            fire.take().map(|fire| fire.send(()));
        });
        let raw: &web_sys::AbortSignal = &signal;
        raw.set_onabort(Some(listener.as_ref().unchecked_ref()));
        Self {
            fired: Some(fired),
            signal: Some(signal),
            _listener: Some(listener),
        }
    }
}

impl Future for Departure {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.fired {
            Some(fired) => Pin::new(fired).poll(context).map(|_| ()),
            None => Poll::Pending,
        }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if let Some(signal) = &self.signal {
            let raw: &web_sys::AbortSignal = signal;
            raw.set_onabort(None);
        }
    }
}

/// Runs `handler`; `None` if the client leaves first, in which case the call is dropped. `patience`: how long a
/// client may leave available data unread.
pub(super) async fn unless_left(
    signal: Option<AbortSignal>,
    patience: Duration,
    handler: impl Future<Output = http::Response<axum::body::Body>>,
) -> Option<http::Response<EdgeBody>> {
    let handler = std::pin::pin!(handler);
    match select(handler, Departure::new(signal)).await {
        Either::Left((response, left)) => Some(response.map(|body| watched(body, left, patience))),
        Either::Right(((), _)) => None,
    }
}

/// Wraps a body that is dropped when its client leaves.
fn watched(body: axum::body::Body, left: Departure, patience: Duration) -> EdgeBody {
    if body.is_end_stream() || left.fired.is_none() {
        return EdgeBody(Box::pin(body));
    }
    let clock = EdgeClock::default();
    let shared = Rc::new(Shared {
        body: RefCell::new(Some(body)),
        given: Cell::new(None),
    });
    let (ended, end) = oneshot::channel();
    let held = shared.clone();
    after_response(async move {
        let gone = select(left, end);
        select(gone, std::pin::pin!(takes_nothing(&held, patience))).await;
        // Outside of the borrow, because dropping the body settles the call.
        let body = held.body.borrow_mut().take();
        drop(body);
    });
    EdgeBody(Box::pin(WatchedBody {
        shared,
        clock,
        ended: Some(ended),
    }))
}

/// Resolves when a frame was given and no other was requested for this time.
async fn takes_nothing(shared: &Shared, patience: Duration) {
    let clock = EdgeClock::default();
    let limit = patience.as_millis() as u64;
    loop {
        clock.sleep(patience).await;
        if shared
            .given
            .get()
            .is_some_and(|given| clock.now() >= given + limit)
        {
            return;
        }
    }
}

struct Shared {
    body: RefCell<Option<axum::body::Body>>,
    /// When the last frame was given, if no other has been requested since.
    given: Cell<Option<Millis>>,
}

struct WatchedBody {
    shared: Rc<Shared>,
    clock: EdgeClock,
    ended: Option<oneshot::Sender<()>>,
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.shared.given.set(None);
        let polled = match self.shared.body.borrow_mut().as_mut() {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(Some(Err(axum::Error::new(BodyError(
                "the client is gone".to_owned(),
            ))))),
        };
        match polled {
            Poll::Ready(Some(Ok(_))) => self.shared.given.set(Some(self.clock.now())),
            Poll::Ready(None | Some(Err(_))) => {
                if let Some(ended) = self.ended.take() {
                    // Fails only if nobody listens any more.
                    let _ = ended.send(());
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let body = self.shared.body.borrow();
        body.as_ref().is_some_and(axum::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.shared.body.borrow();
        body.as_ref()
            .map_or_else(SizeHint::default, axum::body::Body::size_hint)
    }
}
