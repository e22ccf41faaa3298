//! Loads on a target, and their measurements.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::bodies::{OTHER_FRAMES, Order, request};
use super::load::{Connection, Stream};
use super::stats::Samples;
use super::target::Target;

/// One kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Name {
    /// Processor time and requests per second, 2 KB bodies, 32 at once.
    Small,
    /// Processor time where a request is alone.
    Alone,
    /// Processor time and requests per second, 100 KB bodies, 8 at once.
    Large,
    /// The same of streams of OpenAI's and Google's, and of the bridge, 100 KB bodies.
    Others,
    /// Added latency, one request at a time.
    Latency,
    /// Added time to the first byte of a stream.
    FirstByte,
    /// Processor time per frame, 64 paced streams.
    Frames,
    /// 256 paced streams.
    Streams,
    /// Memory before and after many requests.
    Memory,
}

/// Bytes of the two bodies.
pub(super) const SMALL: usize = 2 * 1024;
pub(super) const LARGE: usize = 100 * 1024;
/// Requests in flight under load, and where bodies are large.
pub(super) const AT_ONCE: usize = 32;
pub(super) const FEW_AT_ONCE: usize = 8;
/// As a model writes: 64 deltas, one every 20 ms.
pub(super) const PACED: Order = Order {
    deltas: 64,
    pause: 20,
};
/// Just enough of a stream to have a first byte with nothing close behind it.
const SHORT: Order = Order { deltas: 2, pause: 3 };
/// No measurement of one target takes longer.
const LIMIT: Duration = Duration::from_mins(10);

/// A target under full load.
pub(super) struct Load {
    /// Microseconds of processor time per request.
    pub(super) cpu: Option<f64>,
    pub(super) per_second: f64,
    pub(super) latency: Samples,
    /// What a platform bills for a request, see [`Target::billed`].
    pub(super) billed: Option<[Option<f64>; 5]>,
    /// What Redis spends on a request, see [`Target::redis`].
    pub(super) redis: Option<[f64; 3]>,
}

/// Sends `count` requests, [`AT_ONCE`] at a time, over connections that are warm.
pub(super) async fn load(target: &Target, size: usize, count: usize) -> io::Result<Load> {
    let ask = |session| ask(target, size, Order::WHOLE, session);
    load_of(target, AT_ONCE, count, ask).await
}

/// The same with requests of any kind, so many at a time.
pub(super) async fn load_of(
    target: &Target,
    at_once: usize,
    count: usize,
    ask: impl Fn(usize) -> Vec<u8>,
) -> io::Result<Load> {
    bounded(async {
        let mut connections = Vec::new();
        for session in 0..at_once {
            let request = ask(session);
            let mut connection = Connection::open(target.address_of(session)).await?;
            for _ in 0..3 {
                connection.exchange(&request).await?;
            }
            connections.push((connection, request));
        }
        let left = Arc::new(AtomicUsize::new(count));
        let billed = target.billed().await;
        let redis = target.redis();
        let cpu = target.cpu_nanos();
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (mut connection, request) in connections {
            let left = Arc::clone(&left);
            tasks.spawn(async move {
                let mut latency = Samples::default();
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    latency.add(connection.exchange(&request).await?.whole);
                }
                io::Result::Ok(latency)
            });
        }
        let mut latency = Samples::default();
        while let Some(samples) = tasks.join_next().await {
            latency.extend(&samples.expect("no panic")?);
        }
        let took = start.elapsed().as_secs_f64();
        let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / count as f64;
        let cpu = cpu
            .zip(target.cpu_nanos())
            .map(|(before, after)| each(before, after) / 1000.0);
        let billed = billed
            .zip(target.billed().await)
            .map(|(before, after)| std::array::from_fn(|unit| Some(each(before[unit]?, after[unit]?))));
        let redis = redis
            .zip(target.redis())
            .map(|(before, after)| std::array::from_fn(|unit| each(before[unit], after[unit])));
        Ok(Load {
            cpu,
            per_second: count as f64 / took,
            latency,
            billed,
            redis,
        })
    })
    .await
}

/// Latency of one request at a time, in turns of ten over all targets: whatever disturbs the machine
/// disturbs them alike. With `first_byte`, of streams up to their first byte.
pub(super) async fn in_turns(targets: &[Target], count: usize, first_byte: bool) -> Vec<io::Result<Samples>> {
    const TURN: usize = 10;
    let order = if first_byte { SHORT } else { Order::WHOLE };
    let mut lanes = Vec::new();
    for target in targets {
        let lane = bounded(async {
            let request = ask(target, SMALL, order, 0);
            let mut connection = Connection::open(&target.address).await?;
            for _ in 0..TURN {
                connection.exchange(&request).await?;
            }
            Ok((connection, request, Samples::default()))
        });
        lanes.push(lane.await);
    }
    for _ in 0..count.div_ceil(TURN) {
        for lane in &mut lanes {
            let Ok((connection, request, samples)) = lane else {
                continue;
            };
            let turn = bounded(async {
                for _ in 0..TURN {
                    let exchange = connection.exchange(request).await?;
                    samples.add(if first_byte {
                        exchange.first_byte
                    } else {
                        exchange.whole
                    });
                }
                Ok(())
            });
            if let Err(error) = turn.await {
                *lane = Err(error);
            }
        }
    }
    lanes
        .into_iter()
        .map(|lane| lane.map(|(_, _, samples)| samples))
        .collect()
}

/// Processor time per request in microseconds, one at a time, in one go.
pub(super) async fn alone(target: &Target, count: usize) -> io::Result<Option<f64>> {
    bounded(async {
        let request = ask(target, SMALL, Order::WHOLE, 0);
        let mut connection = Connection::open(&target.address).await?;
        for _ in 0..10 {
            connection.exchange(&request).await?;
        }
        let before = target.cpu_nanos();
        for _ in 0..count {
            connection.exchange(&request).await?;
        }
        let used = before.zip(target.cpu_nanos());
        Ok(used.map(|(before, after)| after.saturating_sub(before) as f64 / 1000.0 / count as f64))
    })
    .await
}

/// What became of many streams at once.
#[derive(Default)]
pub(super) struct Streams {
    /// Microseconds of processor time per frame.
    pub(super) cpu: Option<f64>,
    /// Streams that failed or ended early.
    pub(super) broken: u64,
    /// Why the first of them did.
    pub(super) error: Option<String>,
    pub(super) seen: Stream,
}

/// Runs `count` paced streams at once, their starts spread over one pause.
pub(super) async fn streams(target: &Target, count: usize) -> io::Result<Streams> {
    bounded(async {
        // All at once: one that is warm and then idle for some seconds may be closed by the other side.
        let mut warm = JoinSet::new();
        for session in 0..count {
            let address = target.address_of(session).to_owned();
            // The provider's side is warm too: what a first request costs is measured elsewhere.
            let first = ask(target, SMALL, Order::WHOLE, session);
            let paced = ask(target, SMALL, PACED, session);
            warm.spawn(async move {
                let mut connection = Connection::open(&address).await?;
                connection.exchange(&first).await?;
                io::Result::Ok((connection, paced))
            });
        }
        let mut connections = Vec::new();
        while let Some(ready) = warm.join_next().await {
            connections.push(ready.expect("no panic")?);
        }
        let cpu = target.cpu_nanos();
        let mut tasks = JoinSet::new();
        for (n, (mut connection, request)) in connections.into_iter().enumerate() {
            let start = Duration::from_millis(u64::from(PACED.pause) * n as u64 / count as u64);
            tasks.spawn(async move {
                sleep(start).await;
                connection.stream(&request, PACED.deltas).await
            });
        }
        let mut sum = Streams::default();
        while let Some(stream) = tasks.join_next().await {
            match stream.expect("no panic") {
                Ok(stream) => {
                    sum.seen.frames += stream.frames;
                    sum.seen.lost += stream.lost;
                    sum.seen.merged += stream.merged;
                    sum.seen.delay.extend(&stream.delay);
                    sum.seen.first_byte.extend(&stream.first_byte);
                }
                Err(error) => {
                    sum.broken += 1;
                    sum.error.get_or_insert(error.to_string());
                }
            }
        }
        let frames = count as u64 * u64::from(PACED.deltas + OTHER_FRAMES);
        sum.cpu = cpu
            .zip(target.cpu_nanos())
            .map(|(before, after)| after.saturating_sub(before) as f64 / 1000.0 / frames as f64);
        Ok(sum)
    })
    .await
}

/// What many requests leave behind.
pub(super) struct Left {
    /// Memory in KiB when idle after a warm-up.
    pub(super) before: u64,
    /// And after so many requests each.
    pub(super) after: Vec<u64>,
    /// Bytes that each request added to the store's file.
    pub(super) stored: Option<f64>,
}

/// Memory and disk, warm and after `counts` requests in all.
pub(super) async fn memory(target: &Target, counts: &[usize]) -> io::Result<Option<Left>> {
    load(target, SMALL, counts.first().copied().unwrap_or(0) / 10).await?;
    let Some(before) = target.rss_kib() else {
        return Ok(None);
    };
    let stored = target.stored();
    let mut after = Vec::new();
    let mut done = 0;
    for &count in counts {
        load(target, SMALL, count - done).await?;
        done = count;
        after.extend(target.rss_kib());
    }
    let grown = |(before, after): (u64, u64)| (after as f64 - before as f64) / done as f64;
    let stored = stored.zip(target.stored()).map(grown);
    Ok(Some(Left {
        before,
        after,
        stored,
    }))
}

pub(super) fn ask(target: &Target, size: usize, order: Order, session: usize) -> Vec<u8> {
    request(&target.address, &target.path, &target.key, size, order, session)
}

async fn bounded<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(LIMIT, work)
        .await
        .unwrap_or_else(|_| Err(io::Error::other(format!("not done within {LIMIT:?}"))))
}
