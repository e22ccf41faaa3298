//! The Cloudflare Worker: passes the fetch event to the shared router, and implements the ports with workerd.
//!
//! | module | port or task |
//! | --- | --- |
//! | `site` | the state of an isolate: settings, app, router; created at its first request |
//! | `leaving` | ends a call when its client leaves |
//! | `upstream`, `body`, `answer` | provider calls by `fetch`, and bodies in both directions |
//! | `socket`, `provider_socket` | a client's WebSocket, and one to a provider |
//! | `gates`, `objects`, `messages` | gates and pools: stubs on this side, Durable Objects on the other, headers between them |
//! | `billed` | counts the units that the platform bills |
//! | `bindings`, `clock`, `random`, `signer`, `tasks`, `log` | small ports |
//!
//! An isolate is one thread shared by many requests, and may be evicted after any of them. Promises, streams and
//! timers belong to the request that created them, so requests never share anything that waits.

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
mod provider_socket;
mod random;
mod refusal;
mod signer;
mod site;
mod socket;
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

/// Runs daily: deletes data beyond its retention.
#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    match Site::of(&env).await {
        Ok(site) => site.tidy().await,
        Err(refusal) => worker::console_error!("{refusal}"),
    }
}
