//! Tasks run on the event loop that starts them; those started outside of one run on the main loop.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::port::tasks::Tasks;

pub struct NativeTasks {
    main: Handle,
    tracker: TaskTracker,
    computing: Arc<Semaphore>,
    converting: Arc<Semaphore>,
}

/// Concurrent computations. A password hash takes 19 MiB: concurrent logins wait in a queue that `store::guesses`
/// bounds.
const COMPUTING: usize = 1;

/// Concurrent conversions. Each holds several times its body, so calls with long bodies wait in a queue.
const CONVERTING: usize = 2;

impl NativeTasks {
    /// Must be called inside the main runtime.
    pub fn new() -> Self {
        Self {
            main: Handle::current(),
            tracker: TaskTracker::new(),
            computing: Arc::new(Semaphore::new(COMPUTING)),
            converting: Arc::new(Semaphore::new(CONVERTING)),
        }
    }
}

impl Default for NativeTasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks for NativeTasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // The main loop, not the caller's: the shutdown of a connection thread must not end a token refresh.
        self.tracker.spawn_on(task, &self.main);
    }

    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        blocking(self.main.clone(), self.computing.clone(), job)
    }

    fn convert(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        blocking(self.main.clone(), self.converting.clone(), job)
    }

    fn drained(&self) -> BoxFuture<'static, ()> {
        self.tracker.close();
        let tracker = self.tracker.clone();
        Box::pin(async move { tracker.wait().await })
    }
}

/// Runs the job on a blocking thread when its turn comes.
fn blocking(main: Handle, turns: Arc<Semaphore>, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        // Held until the job has ended, even if its caller leaves first.
        let turn = turns.acquire_owned().await;
        let done = main.spawn_blocking(move || {
            job();
            drop(turn);
        });
        // A panicking job is in the log; its caller gets no result.
        let _ = done.await;
    })
}
