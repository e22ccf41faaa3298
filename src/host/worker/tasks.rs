//! Work after the response, with `waitUntil` of the current request or object.
//!
//! The runtime's global function finds the current request, so one app serves all requests. Work may continue for
//! 30 s after the response.

use std::time::Duration;

use futures_util::future::BoxFuture;
use worker::js_sys::Promise;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};
use worker::wasm_bindgen_futures::future_to_promise;

use super::clock::EdgeClock;
use crate::port::clock::Clock as _;
use crate::port::tasks::Tasks;

#[wasm_bindgen(module = "cloudflare:workers")]
extern "C" {
    #[wasm_bindgen(catch, js_name = waitUntil)]
    fn wait_until(promise: &Promise) -> Result<(), JsValue>;
}

/// Keeps the request alive until `task` has ended.
pub(super) fn after_response(task: impl Future<Output = ()> + 'static) {
    let promise = future_to_promise(async move {
        task.await;
        Ok(JsValue::UNDEFINED)
    });
    if let Err(error) = wait_until(&promise) {
        // It still runs as long as the runtime allows.
        tracing::warn!(?error, "a background task could not be registered");
    }
}

pub(super) struct EdgeTasks;

impl Tasks for EdgeTasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        after_response(task);
    }

    /// Runs on the isolate's only thread, so others of this isolate wait for it.
    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        job();
        EdgeClock::default().sleep(Duration::ZERO)
    }

    /// The runtime waits by itself.
    fn drained(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
