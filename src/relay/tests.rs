//! The life of a call in virtual time: the router, the relay and the real machines over a memory store, a clock that
//! moves by hand and a scripted provider. No socket, no thread, no second of waiting.
//!
//! | module | what it shows |
//! | --- | --- |
//! | [`rig`] | the rig: clients, provider, tasks, clock |
//! | [`failover`] | another account serves, or the client gets the clearest failure |
//! | [`deadlines`] | every time-out, to the millisecond |
//! | [`refresh`] | one refresher, and what everybody else gets |
//! | [`queue`] | slots and queues |
//! | [`settlement`] | one event and one report for each call, however it ends |
//! | [`log_lines`] | every log line of a call names the call, its key and its account |
//! | [`leaving`] | a client leaves at each await point of each story |

mod deadlines;
mod failover;
mod leaving;
mod log_lines;
mod queue;
mod refresh;
mod rig;
mod settlement;
