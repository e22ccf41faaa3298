//! Work that outlives the response, or must not hold up the others.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

pub trait Tasks: Send + Sync {
    /// Runs `task` to its end after the response is gone; a graceful shutdown waits for it, bounded.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs a computation that takes milliseconds of CPU (password hashing) where it holds up no stream.
    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;

    /// Runs a computation on a long body where it holds up no stream, and where it waits for no password.
    fn convert(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.compute(job)
    }

    /// Resolves when every spawned task has ended.
    fn drained(&self) -> BoxFuture<'static, ()>;
}

/// The result of [`Tasks::compute`]; `None`: the computation was not run to its end (it panicked, or the process
/// ends).
pub async fn computed<T: Send + 'static>(
    tasks: &dyn Tasks,
    job: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let result = Arc::new(Mutex::new(None));
    let place = result.clone();
    let run = Box::new(move || {
        let value = job();
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    });
    tasks.compute(run).await;
    result.lock().unwrap_or_else(PoisonError::into_inner).take()
}
