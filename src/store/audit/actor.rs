//! The actor of the running request. The control plane opens a scope around each request and sets the actor when
//! the admin is authenticated. Tasks spawned by a request run as the system.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The actor and the origin of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "the names of the audit log's fields")]
pub struct Actor {
    /// The admin's name, `local`, `system` or `stranger`.
    pub actor: String,
    #[serde(default)]
    pub address: Option<IpAddr>,
    #[serde(default)]
    pub request_id: Option<String>,
    /// The session of an admin; not stored with entries.
    #[serde(skip)]
    pub session: Option<String>,
}

impl Actor {
    /// The relay itself, for example at a first start.
    pub fn system() -> Self {
        Self {
            actor: "system".to_owned(),
            address: None,
            request_id: None,
            session: None,
        }
    }
}

type Slot = Arc<Mutex<Option<Actor>>>;

thread_local! {
    /// Set only while the future of a [`scope`] is polled.
    static CURRENT: RefCell<Option<Slot>> = const { RefCell::new(None) };
}

/// Restores the slot that was current before.
struct Entered(Option<Slot>);

impl Entered {
    fn enter(slot: &Slot) -> Self {
        Self(CURRENT.replace(Some(slot.clone())))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Runs one request. It has no actor until [`act_as`] sets one.
pub async fn scope<F: Future>(work: F) -> F::Output {
    let slot = Slot::default();
    let mut work = pin!(work);
    poll_fn(|context| {
        let _entered = Entered::enter(&slot);
        work.as_mut().poll(context)
    })
    .await
}

/// Sets the actor of the running request. Does nothing outside of a [`scope`].
pub fn act_as(actor: Actor) {
    CURRENT.with_borrow(|current| {
        if let Some(slot) = current {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
        }
    });
}

/// The actor of the running request; `None` if nobody is authenticated or this is not an admin request.
pub fn acting() -> Option<Actor> {
    CURRENT.with_borrow(|current| {
        let slot = current.as_ref()?;
        slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    })
}
