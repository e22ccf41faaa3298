//! Work after the response: `waitUntil` of whichever request or object asks for it.
//!
//! The runtime's own function finds the request that runs right now, so that one app can serve them all.
//! Work may go on for 30 s after the response.

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
        // It runs all the same, as long as the runtime lets it.
        tracing::warn!(?error, "a task cannot be waited for");
    }
}

pub(super) struct EdgeTasks;

impl Tasks for EdgeTasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        after_response(task);
    }

    /// There is one thread: the others of this isolate have a turn after the job.
    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        job();
        EdgeClock::default().sleep(Duration::ZERO)
    }

    /// The runtime waits by itself.
    fn drained(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
