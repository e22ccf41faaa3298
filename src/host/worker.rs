//! The Cloudflare Worker: the fetch event into the shared router, and the ports on what workerd offers.
//!
//! | part | port or duty |
//! | --- | --- |
//! | `site` | what an isolate has: settings, app, router; made at its first request |
//! | `leaving` | a client that goes away takes its call with it |
//! | `upstream`, `body`, `answer` | provider calls by `fetch`, and bodies in both directions |
//! | `gates`, `objects`, `messages` | the machines: stubs on this side, Durable Objects on the other, headers between them |
//! | `billed` | what the platform bills, counted |
//! | `bindings`, `clock`, `random`, `tasks`, `log` | the small ones |
//!
//! An isolate is one thread that many requests share, and it may be gone after any of them. A promise, a
//! stream or a timer belongs to the request that made it, so nothing that waits is shared between requests.

mod answer;
mod billed;
mod bindings;
mod body;
mod clock;
mod gates;
mod leaving;
mod log;
mod messages;
mod objects;
mod random;
mod refusal;
mod site;
mod tasks;
mod upstream;

pub use objects::{GateObject, PoolObject};
use worker::{Context, Env, HttpRequest, ScheduleContext, ScheduledEvent, event, web_sys};

use self::site::Site;

#[event(start)]
fn start() {
    console_error_panic_hook::set_once();
}

#[event(fetch)]
async fn fetch(request: HttpRequest, env: Env, _: Context) -> worker::Result<web_sys::Response> {
    answer::to_js(match Site::of(&env).await {
        Ok(site) => site.serve(request).await,
        Err(refusal) => refusal.answer(&request),
    })
}

/// Once a day: what is older than it is kept for goes.
#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    match Site::of(&env).await {
        Ok(site) => site.tidy().await,
        Err(refusal) => worker::console_error!("{refusal}"),
    }
}
