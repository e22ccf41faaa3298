//! The provider's WebSocket that a client's connection keeps between its turns: at most one, and of one account.
//!
//! A provider's connection knows the last response that it made, so it belongs to one client's connection and is never
//! lent to another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

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

/// The provider's WebSocket of one client's connection, between its turns.
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
        // Frames that arrived since its last turn belong to no turn. The next poll has a waker.
        self.poll_idle(&mut Context::from_waker(Waker::noop()));
        let kept = self.kept().take();
        kept.filter(|kept| kept.place == *place)
    }

    /// Closes the WebSocket: a turn goes another way.
    pub(crate) fn close(&self) {
        let kept = self.kept().take();
        drop(kept);
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::port::socket::Gone;

    /// Has these things to say, and counts its closing.
    struct Scripted(VecDeque<Received>, Arc<AtomicUsize>);

    #[async_trait]
    impl ProviderSocket for Scripted {
        fn poll_receive(&mut self, _context: &mut Context<'_>) -> Poll<Received> {
            self.0.pop_front().map_or(Poll::Pending, Poll::Ready)
        }

        async fn send(&mut self, _text: Bytes) -> Result<(), Gone> {
            Ok(())
        }
    }

    impl Drop for Scripted {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn place(account: &str, token: &'static str) -> Place {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, HeaderValue::from_static(token));
        Place {
            account: account.to_owned(),
            proxy: None,
            uri: Uri::from_static("https://host/v1/responses"),
            headers,
        }
    }

    fn open(place: Place, says: &[Received], closed: &Arc<AtomicUsize>) -> OpenSocket {
        OpenSocket {
            place,
            socket: Box::new(Scripted(says.to_vec().into(), closed.clone())),
            knows: Some("resp_1".to_owned()),
        }
    }

    fn line() -> (ProviderLine, Arc<AtomicUsize>) {
        let line = ProviderLine::new(HeaderValue::from_static("responses_websockets=1"));
        (line, Arc::default())
    }

    #[test]
    fn one_is_kept_and_only_for_its_own_place() {
        let (line, closed) = line();
        assert!(line.take(&place("a", "one")).is_none());
        line.keep(open(place("a", "one"), &[], &closed));
        let taken = line.take(&place("a", "one")).unwrap();
        assert_eq!(taken.knows.as_deref(), Some("resp_1"));
        assert!(line.take(&place("a", "one")).is_none(), "it is not there twice");
        for other in [place("b", "one"), place("a", "two")] {
            line.keep(open(place("a", "one"), &[], &closed));
            let before = closed.load(Ordering::Relaxed);
            assert!(line.take(&other).is_none());
            assert_eq!(closed.load(Ordering::Relaxed), before + 1);
        }
        line.keep(open(place("a", "one"), &[], &closed));
        line.keep(open(place("b", "one"), &[], &closed));
        assert_eq!(closed.load(Ordering::Relaxed), 3);
        drop((line, taken));
        assert_eq!(closed.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn one_that_is_closed_between_turns_is_given_up() {
        let mut context = Context::from_waker(Waker::noop());
        let text = || Received::Text(Bytes::from_static(b"{}"));
        for (says, stays) in [
            (vec![], true),
            (vec![text(), text()], true),
            (vec![text(), Received::Gone], false),
            (vec![Received::TooLarge], false),
            (vec![Received::Binary], false),
        ] {
            let (line, closed) = line();
            line.keep(open(place("a", "one"), &says, &closed));
            line.poll_idle(&mut context);
            line.poll_idle(&mut context);
            assert_eq!(closed.load(Ordering::Relaxed), usize::from(!stays), "{says:?}");
            assert_eq!(line.take(&place("a", "one")).is_some(), stays, "{says:?}");
        }
    }
}
