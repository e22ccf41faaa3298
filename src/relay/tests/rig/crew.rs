//! An executor with one thread: runs what can run, in the order in which it was woken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use futures_util::future::BoxFuture;

use crate::port::tasks::Tasks;

#[derive(Clone, Default)]
pub(crate) struct Crew(Arc<Mutex<VecDeque<Arc<Task>>>>, Arc<AtomicUsize>);

/// A future under way.
pub(crate) struct Task {
    crew: Crew,
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    is_queued: AtomicBool,
    polls: AtomicUsize,
    /// The future is dropped after this many polls.
    most_polls: AtomicUsize,
}

impl Crew {
    pub(crate) fn begin(&self, future: BoxFuture<'static, ()>, most_polls: usize) -> Arc<Task> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let task = Arc::new(Task {
            crew: self.clone(),
            future: Mutex::new(Some(future)),
            is_queued: AtomicBool::new(false),
            polls: AtomicUsize::new(0),
            most_polls: AtomicUsize::new(most_polls),
        });
        task.clone().wake();
        task
    }

    /// Polls until nobody can go on.
    pub(crate) fn run(&self) {
        for _ in 0..100_000 {
            let Some(next) = self.0.lock().unwrap().pop_front() else {
                return;
            };
            next.poll();
        }
        panic!("tasks wake each other for ever");
    }

    /// Tasks that have not ended.
    pub(crate) fn under_way(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Task {
    fn poll(self: Arc<Self>) {
        self.is_queued.store(false, Ordering::Relaxed);
        // Outside of the lock: what runs may drop this task.
        let Some(mut future) = self.future.lock().unwrap().take() else {
            return;
        };
        let waker = Waker::from(self.clone());
        let is_over = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let polls = self.polls.fetch_add(1, Ordering::Relaxed) + 1;
        if is_over || polls >= self.most_polls.load(Ordering::Relaxed) {
            drop(future);
            self.crew.1.fetch_sub(1, Ordering::Relaxed);
        } else {
            *self.future.lock().unwrap() = Some(future);
        }
    }

    /// Drops the future now.
    pub(crate) fn leave(&self) {
        let future = self.future.lock().unwrap().take();
        if future.is_some() {
            drop(future);
            self.crew.1.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Forgets the future without dropping it.
    pub(crate) fn vanish(&self) {
        if let Some(future) = self.future.lock().unwrap().take() {
            std::mem::forget(future);
            self.crew.1.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.future.lock().unwrap().is_none()
    }

    pub(crate) fn polls(&self) -> usize {
        self.polls.load(Ordering::Relaxed)
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::Relaxed) {
            let crew = self.crew.clone();
            crew.0.lock().unwrap().push_back(self);
        }
    }
}

impl Tasks for Crew {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.begin(task, usize::MAX);
    }

    fn compute(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { job() })
    }

    fn drained(&self) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}
