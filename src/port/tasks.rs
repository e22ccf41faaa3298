//! Work that outlives the response, or that must not block others.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

pub trait Tasks: Send + Sync {
    /// Runs `task` to its end after the response; a graceful shutdown waits for it up to a limit.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs a computation of some milliseconds (password hashing) where it blocks no stream.
    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;

    /// Runs a conversion of a long body where it blocks no stream and does not wait for password hashes.
    fn convert(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        self.compute(job)
    }

    /// Resolves when every spawned task has ended.
    fn drained(&self) -> BoxFuture<'static, ()>;
}

/// The result of [`Tasks::compute`]; `None` if the computation panicked or the process ended.
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
