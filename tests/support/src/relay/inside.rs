//! A relay that runs in threads of the test's own process.
//!
//! This crate knows nothing of the relay's code, so the test brings what serves.

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Serves with these variables until told to end, or says why it does not. Blocks; where it listens it writes
/// to `server.json`, as the program does.
pub type Serve = fn(HashMap<String, String>, oneshot::Receiver<()>) -> Result<(), String>;

pub(super) struct Inside {
    serve: Serve,
    env: Vec<(String, String)>,
    running: Option<Running>,
}

struct Running {
    thread: JoinHandle<Result<(), String>>,
    /// Dropped, it asks the thread to end, and nobody waits for that.
    end: oneshot::Sender<()>,
}

impl Inside {
    pub(super) fn new(serve: Serve, env: Vec<(String, String)>) -> Self {
        Self {
            serve,
            env,
            running: None,
        }
    }

    /// Starts it, and returns the id of this process.
    pub(super) fn start(&mut self) -> u32 {
        let (end, ended) = oneshot::channel();
        let (serve, env) = (self.serve, self.env.iter().cloned().collect());
        let thread = std::thread::Builder::new()
            .name("relay".into())
            .spawn(move || serve(env, ended))
            .expect("a thread");
        self.running = Some(Running { thread, end });
        std::process::id()
    }

    /// What it came to, if it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        let running = self.running.take_if(|running| running.thread.is_finished())?;
        match running.thread.join() {
            Ok(Ok(())) => Some("it was not asked to".into()),
            Ok(Err(why)) => Some(why),
            Err(_) => Some("its thread panicked".into()),
        }
    }

    /// Asks it to end and waits until it has; its exit code, had it been a process.
    pub(super) async fn end(&mut self, limit: Duration) -> i32 {
        let Running { thread, end } = self.running.take().expect("a running relay");
        drop(end);
        let deadline = Instant::now() + limit;
        while !thread.is_finished() {
            assert!(
                Instant::now() < deadline,
                "the relay inside this process still runs after {limit:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match thread.join() {
            Ok(Ok(())) => 0,
            Ok(Err(_)) => 2,
            Err(_) => 101,
        }
    }
}
