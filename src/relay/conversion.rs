//! Conversions between protocols, made where they hold nobody up.
//!
//! A conversion is one synchronous computation, linear in the body: a megabyte takes some ten milliseconds. A short
//! one runs where the call does. A long one would stop every stream of its event loop, so it goes to the host's
//! other threads ([`Tasks::convert`](crate::port::tasks::Tasks::convert)); its caller waits without holding a
//! thread. On the edge there is one thread, which an isolate gives to one request's computation at a time; there only
//! the bounds on bodies hold a conversion down.

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

/// A longer body is converted elsewhere, bytes.
const LONG: usize = 256 << 10;

/// The request to send for this call, see [`Plan::request`].
pub(super) async fn request(
    app: &App,
    plan: &'static Plan,
    call: &Call,
    live: &Arc<LiveAccount>,
) -> Result<Request<Bytes>, Unsendable> {
    if call.body.len() < LONG || !plan.is_slow(call) {
        return plan.request(call, live, &app.config);
    }
    let (call, live, parts) = (call.clone(), live.clone(), app.clone());
    let made = elsewhere(app, move || plan.request(&call, &live, &parts.config)).await;
    made.unwrap_or_else(|| {
        Err(Unsendable::Account(
            "the request could not be converted".to_owned(),
        ))
    })
}

/// The client's form of a whole answer, see [`Plan::gathered`].
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

/// `None`: the computation broke down, and the log says how.
async fn elsewhere<T: Send + 'static>(app: &App, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = oneshot::channel();
    let job = Box::new(move || {
        // Nobody listens if the client left meanwhile.
        let _ = tell.send(job());
    });
    app.ports.tasks.convert(job).await;
    told.await.ok()
}
