use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};

use super::*;
use crate::port::clock::movable::Movable;
use crate::port::gates::KeyHash;
use crate::state::body_memory::BodyMemory;

const KB: usize = 1 << 10;

fn reserved(memory: &Arc<BodyMemory>) -> Reservation {
    Reservation::new(memory, &KeyHash([1; 32]))
}

fn memory(limit: usize) -> (Arc<BodyMemory>, Reservation) {
    let memory = Arc::new(BodyMemory::new(limit));
    let reserved = reserved(&memory);
    (memory, reserved)
}

/// A body of these chunks, of no known length, that ends or stalls after them.
fn chunks(sizes: &[usize], ends: bool) -> Body {
    let data = sizes
        .iter()
        .map(|size| Ok::<_, std::io::Error>(vec![b'x'; *size]));
    let data = stream::iter(data.collect::<Vec<_>>());
    if ends {
        Body::from_stream(data)
    } else {
        Body::from_stream(data.chain(stream::pending()))
    }
}

#[tokio::test]
async fn what_is_held_is_what_was_read() {
    let clock = Movable::at(0);
    let (memory, mut held) = memory(1_000 * KB);
    let came = read(Body::from("hello"), 100, &mut held, &clock).await.unwrap();
    assert_eq!((&came[..], held.bytes()), (&b"hello"[..], 5));
    held.shrink_to(0);
    let body = chunks(&[10 * KB; 30], true);
    let came = read(body, 400 * KB, &mut held, &clock).await.unwrap();
    assert_eq!((came.len(), held.bytes()), (300 * KB, 300 * KB));
    assert!(memory.figures().peak <= 400 * KB, "{:?}", memory.figures());
    drop(held);
    assert_eq!(memory.figures().used, 0);
}

#[tokio::test]
async fn who_sends_little_holds_little_and_not_for_long() {
    let clock = Movable::at(0);
    let (memory, mut held) = memory(1 << 30);
    let mut reads = Box::pin(read(chunks(&[10], false), 100 << 20, &mut held, &clock));
    assert!(reads.as_mut().now_or_never().is_none());
    assert!(memory.figures().used <= FIRST_ROOM);
    let mut seconds = 0;
    let refused = loop {
        match reads.as_mut().now_or_never() {
            Some(read) => break read.unwrap_err(),
            None => clock.advance(LOOK),
        }
        seconds += 1;
    };
    assert_eq!(refused.code, Code::BodyTooSlow);
    assert!((15..=20).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn the_fuller_the_memory_the_shorter_the_patience() {
    assert_eq!(patience(0), PATIENCE);
    assert_eq!(patience(500), PATIENCE);
    assert!(patience(750) < PATIENCE && patience(750) > LEAST_PATIENCE);
    assert_eq!(patience(1000), LEAST_PATIENCE);
    assert_eq!(patience(5000), LEAST_PATIENCE);

    let clock = Movable::at(0);
    let (memory, mut held) = memory(1000 * KB);
    let mut other = Reservation::new(&memory, &KeyHash([2; 32]));
    // Fast enough by its rate, but it stalls.
    let mut reads = Box::pin(read(chunks(&[100 * KB], false), 500 * KB, &mut held, &clock));
    assert!(reads.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(6));
    assert!(reads.as_mut().now_or_never().is_none());
    other.grow_to(890 * KB, &clock).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert!(reads.as_mut().now_or_never().is_none(), "some patience is left");
    other.grow_to(900 * KB, &clock).await.unwrap();
    clock.advance(LOOK);
    assert_eq!(reads.await.unwrap_err().code, Code::BodyTooSlow);
}

#[tokio::test]
async fn a_body_for_which_there_is_no_memory_is_refused_after_a_while() {
    let clock = Movable::at(0);
    let (memory, mut held) = memory(100 * KB);
    let mut other = Reservation::new(&memory, &KeyHash([2; 32]));
    other.grow_to(90 * KB, &clock).await.unwrap();
    let mut reads = Box::pin(read(
        chunks(&[20 * KB, 20 * KB], true),
        50 * KB,
        &mut held,
        &clock,
    ));
    assert!(reads.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(10));
    assert_eq!(reads.await.unwrap_err().code, Code::BodyMemoryFull);
    assert_eq!(memory.figures().peak, 90 * KB);
}

/// A body of `count` chunks of this size, each counted as it is read.
fn counted(size: usize, count: usize) -> (Body, Arc<AtomicUsize>) {
    let read = Arc::<AtomicUsize>::default();
    let counter = read.clone();
    let data = stream::iter(0..count).map(move |_| {
        counter.fetch_add(size, Ordering::Relaxed);
        Ok::<_, std::io::Error>(vec![b'x'; size])
    });
    (Body::from_stream(data), read)
}

#[tokio::test]
async fn of_a_body_that_is_too_large_little_is_read() {
    let clock = Movable::at(0);
    let chunk = 16 * KB;
    let (memory, mut held) = memory(1 << 30);
    for (limit, most) in [
        (8 * KB, 64 * KB),
        (256 * KB, 3 * 256 * KB),
        (20 << 20, (20 << 20) + (32 << 20)),
    ] {
        let (body, taken) = counted(chunk, 10_000);
        let refused = read(body, limit, &mut held, &clock).await.unwrap_err();
        assert_eq!(refused.code, Code::BodyTooLarge);
        let taken = taken.load(Ordering::Relaxed);
        assert!((most..=most + 3 * chunk).contains(&taken), "{limit}: {taken}");
    }
    // One that is a little too large is read to its end: its client comes to reading the answer.
    let (body, taken) = counted(KB, 60);
    read(body, 8 * KB, &mut held, &clock).await.unwrap_err();
    assert_eq!(taken.load(Ordering::Relaxed), 60 * KB);
    assert_eq!(memory.figures().used, 0);
}

#[tokio::test]
async fn a_refused_body_is_read_for_a_bounded_time() {
    let clock = Movable::at(0);
    swallow(chunks(&[10 * KB; 30], true), MOST_SWALLOWED, &clock).await;
    for (most, time) in [
        (LEAST_SWALLOWED, SWALLOW_FOR),
        (MOST_SWALLOWED, SWALLOW_LARGE_FOR),
    ] {
        let mut reads = Box::pin(swallow(chunks(&[10], false), most, &clock));
        assert!(reads.as_mut().now_or_never().is_none());
        clock.advance(time / 2);
        assert!(reads.as_mut().now_or_never().is_none());
        clock.advance(time);
        reads.await;
    }
    // Who sends one byte too many and then stalls is answered as soon.
    let (_, mut held) = memory(1 << 20);
    let mut reads = Box::pin(read(chunks(&[9 * KB], false), 8 * KB, &mut held, &clock));
    assert!(reads.as_mut().now_or_never().is_none());
    clock.advance(SWALLOW_FOR);
    assert_eq!(reads.await.unwrap_err().code, Code::BodyTooLarge);
}
