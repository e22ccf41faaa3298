use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};

use super::*;
use crate::port::clock::movable::Movable;
use crate::port::gates::KeyHash;
use crate::relay::body_memory::BodyMemory;

const KB: usize = 1 << 10;

fn reserved(memory: &Arc<BodyMemory>) -> Reserved {
    Reserved::new(memory, &KeyHash([1; 32]))
}

fn memory(limit: usize) -> (Arc<BodyMemory>, Reserved) {
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
    let read = read_call(Body::from("hello"), 100, &mut held, &clock)
        .await
        .unwrap();
    assert_eq!((&read[..], held.bytes()), (&b"hello"[..], 5));
    held.shrink_to(0);
    let body = chunks(&[10 * KB; 30], true);
    let read = read_call(body, 400 * KB, &mut held, &clock).await.unwrap();
    assert_eq!((read.len(), held.bytes()), (300 * KB, 300 * KB));
    assert!(memory.figures().peak <= 400 * KB, "{:?}", memory.figures());
    drop(held);
    assert_eq!(memory.figures().used, 0);
}

#[tokio::test]
async fn who_sends_little_holds_little_and_not_for_long() {
    let clock = Movable::at(0);
    let (memory, mut held) = memory(1 << 30);
    let mut reads = Box::pin(read_call(chunks(&[10], false), 100 << 20, &mut held, &clock));
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
    let mut other = Reserved::new(&memory, &KeyHash([2; 32]));
    // Fast enough by its rate, but it stalls.
    let mut reads = Box::pin(read_call(chunks(&[100 * KB], false), 500 * KB, &mut held, &clock));
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
    let mut other = Reserved::new(&memory, &KeyHash([2; 32]));
    other.grow_to(90 * KB, &clock).await.unwrap();
    let mut reads = Box::pin(read_call(
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

#[tokio::test]
async fn a_refused_body_is_taken_in_for_a_bounded_time() {
    let clock = Movable::at(0);
    swallow(chunks(&[10 * KB; 30], true), &clock).await;
    let mut taken = Box::pin(swallow(chunks(&[10], false), &clock));
    assert!(taken.as_mut().now_or_never().is_none());
    clock.advance(SWALLOW_FOR);
    taken.await;
}
