//! A WebSocket to a provider: what a fetch with an upgrade answers.
//!
//! The runtime answers pings, and buffers in both directions without telling how much; so nothing slows a provider down
//! that is faster than its client.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::Bytes;
use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use futures_util::Stream as _;
use worker::js_sys::Reflect;
use worker::send::SendWrapper;
use worker::wasm_bindgen::closure::Closure;
use worker::wasm_bindgen::{JsCast as _, JsValue};
use worker::{WebSocket, web_sys};

use crate::port::socket::{Gone, Received};
use crate::port::upstream::{LARGEST_MESSAGE, ProviderSocket};

type OnMessage = Closure<dyn FnMut(web_sys::MessageEvent)>;
type OnEnd = Closure<dyn FnMut(web_sys::Event)>;

/// The events that end it.
const ENDS: [&str; 2] = ["close", "error"];

pub(super) struct EdgeProviderSocket {
    socket: WebSocket,
    received: UnboundedReceiver<Received>,
    /// Called by the runtime as long as they are registered.
    handlers: SendWrapper<(OnMessage, OnEnd)>,
}

impl EdgeProviderSocket {
    /// Accepts the WebSocket of a response with status 101.
    pub(super) fn of(response: &web_sys::Response) -> Result<Self, JsValue> {
        let socket = Reflect::get(response, &JsValue::from_str("webSocket"))?;
        if !socket.is_object() {
            return Err(JsValue::from_str("an upgrade without a WebSocket"));
        }
        let socket: web_sys::WebSocket = socket.unchecked_into();
        let (sender, received) = unbounded();
        let ended = sender.clone();
        let message = move |event: web_sys::MessageEvent| {
            let received = match event.data().as_string() {
                Some(text) if text.len() <= LARGEST_MESSAGE => Received::Text(text.into()),
                Some(_) => Received::TooLarge,
                None => Received::Binary,
            };
            // Fails only when nobody reads any more.
            let _ = sender.unbounded_send(received);
        };
        let message: Box<dyn FnMut(web_sys::MessageEvent)> = Box::new(message);
        let end: Box<dyn FnMut(web_sys::Event)> = Box::new(move |_| {
            let _ = ended.unbounded_send(Received::Gone);
        });
        let (message, end) = (
            OnMessage::wrap_assert_unwind_safe(message),
            OnEnd::wrap_assert_unwind_safe(end),
        );
        socket.add_event_listener_with_callback("message", message.as_ref().unchecked_ref())?;
        for name in ENDS {
            socket.add_event_listener_with_callback(name, end.as_ref().unchecked_ref())?;
        }
        let socket = Self {
            socket: socket.into(),
            received,
            handlers: SendWrapper((message, end)),
        };
        socket
            .socket
            .accept()
            .map_err(|error| JsValue::from_str(&error.to_string()))?;
        Ok(socket)
    }
}

#[async_trait]
impl ProviderSocket for EdgeProviderSocket {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        let received = ready!(Pin::new(&mut self.received).poll_next(context));
        Poll::Ready(received.unwrap_or(Received::Gone))
    }

    async fn send(&mut self, text: Bytes) -> Result<(), Gone> {
        let text = std::str::from_utf8(&text).map_err(|_| Gone)?;
        self.socket.send_with_str(text).map_err(|_| Gone)
    }
}

impl Drop for EdgeProviderSocket {
    fn drop(&mut self) {
        let socket: &web_sys::WebSocket = self.socket.as_ref();
        let SendWrapper((message, end)) = &self.handlers;
        // None of this fails on a WebSocket that was accepted, and nothing is left to do if it does.
        let message = message.as_ref().unchecked_ref();
        let _ = socket.remove_event_listener_with_callback("message", message);
        for name in ENDS {
            let _ = socket.remove_event_listener_with_callback(name, end.as_ref().unchecked_ref());
        }
        let _ = self.socket.close(Some(1000), None::<&str>);
    }
}
