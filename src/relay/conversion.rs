//! Runs conversions between protocols without blocking other calls.
//!
//! A conversion is one synchronous computation, linear in the body: about ten milliseconds per megabyte. Short
//! conversions run in place. A long one would block every stream of its event loop, so it runs on another thread
//! ([`Tasks::convert`](crate::port::tasks::Tasks::convert)) while its caller waits asynchronously. The edge has
//! one thread per isolate; there only the limits on bodies bound a conversion.

use std::sync::Arc;

use bytes::Bytes;
use futures_channel::oneshot;
use http::{Extensions, Request};

use crate::account::Unsendable;
use crate::app::App;
use crate::dialect::answer::Whole;
use crate::dialect::call::Call;
use crate::model::account::live::LiveAccount;
use crate::plan::Plan;

/// Longer bodies are converted on another thread, bytes.
const LONG: usize = 256 << 10;

/// Builds the request for this call, see [`Plan::request`].
pub(super) async fn request(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    live: &Arc<LiveAccount>,
) -> Result<Request<Bytes>, Unsendable> {
    let now = app.ports.clock.now();
    if call.body.len() < LONG || !plan.is_slow(call) {
        return plan.request(call, live, &app.config, now);
    }
    let (call, live, parts) = (call.clone(), live.clone(), app.clone());
    let made = Box::pin(elsewhere(app, move || {
        plan.request(&call, &live, &parts.config, now)
    }))
    .await;
    made.unwrap_or_else(|| {
        Err(Unsendable::Account(
            "the request could not be converted".to_owned(),
        ))
    })
}

/// Converts a whole answer for the client, see [`Plan::gathered`].
pub(super) async fn gathered(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    kept: &Extensions,
    whole: Bytes,
) -> Result<Whole, String> {
    if whole.len() < LONG {
        return plan.gathered(call, kept, whole);
    }
    let (call, kept) = (call.clone(), kept.clone());
    let made = elsewhere(app, move || plan.gathered(&call, &kept, whole)).await;
    made.unwrap_or_else(|| Err("the answer could not be converted".to_owned()))
}

/// Runs the job on another thread. `None` if it panicked, which is logged there.
async fn elsewhere<T: Send + 'static>(app: &App, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    let job = Box::new(move || {
        // Fails only if the client has left.
        let _ = sender.send(job());
    });
    app.ports.tasks.convert(job).await;
    receiver.await.ok()
}
