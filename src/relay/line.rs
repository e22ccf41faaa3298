//! The provider's WebSocket that a client's connection keeps between its turns: at most one, and of one account.
//!
//! A provider's connection knows the last response that it made, so it belongs to one client's connection and is never
//! lent to another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, Uri};

use crate::dialect::openai::socket::provider::Continues;
use crate::model::account::Proxy;
use crate::port::socket::Received;
use crate::port::upstream::ProviderSocket;

/// One turn of a client's connection, in the extensions of its request.
pub struct SocketTurn {
    pub(crate) line: Arc<ProviderLine>,
    /// `None` if it continues nothing that was here.
    pub(crate) continues: Option<Continues>,
}

/// What one client's connection has of providers' WebSockets.
pub struct ProviderLine {
    version: HeaderValue,
    kept: Mutex<Option<OpenSocket>>,
}

/// Where a WebSocket goes, as what, and on whose behalf. A turn of another place needs another one.
#[derive(Clone, PartialEq)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) proxy: Option<Arc<Proxy>>,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

/// A WebSocket without a turn.
pub(crate) struct OpenSocket {
    pub(crate) place: Place,
    pub(crate) socket: Box<dyn ProviderSocket>,
    /// The response that it can continue.
    pub(crate) knows: Option<String>,
}

impl ProviderLine {
    /// `version`: of the protocol, for providers.
    pub(crate) fn new(version: HeaderValue) -> Self {
        Self {
            version,
            kept: Mutex::default(),
        }
    }

    /// The version of the protocol, for providers.
    pub(crate) fn version(&self) -> HeaderValue {
        self.version.clone()
    }

    /// Takes the WebSocket of this place; closes one of another place.
    pub(crate) fn take(&self, place: &Place) -> Option<OpenSocket> {
        let kept = self.kept().take();
        kept.filter(|kept| kept.place == *place)
    }

    pub(crate) fn keep(&self, socket: OpenSocket) {
        let earlier = self.kept().replace(socket);
        drop(earlier);
    }

    /// Answers the pings of a kept WebSocket, and gives up one that was closed. Nothing else is expected between turns.
    pub(crate) fn poll_idle(&self, context: &mut Context<'_>) {
        let mut line = self.kept();
        while let Some(kept) = &mut *line {
            match kept.socket.poll_receive(context) {
                Poll::Pending => return,
                Poll::Ready(Received::Text(_)) => {}
                Poll::Ready(_) => *line = None,
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<OpenSocket>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
