use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::Ordering;

use super::rules::{FREE, KNOWN_ADDRESSES, OF_ALL_STRANGERS, PER_SITE, WINDOW};
use super::*;
use crate::port::clock::movable::Movable;
use crate::secrets::tests::keyring;
use crate::store::fake::FakeStore;

const NOW: Millis = 1_764_000_000_000;

struct Bench {
    store: Arc<FakeStore>,
}

impl Bench {
    fn new() -> Self {
        Self {
            store: Arc::new(FakeStore::new(Arc::new(Movable::at(NOW)))),
        }
    }

    /// A process of its own over the same store.
    fn process(&self) -> Guesses {
        Guesses::new(self.store.clone(), Arc::new(keyring()))
    }

    fn calls(&self) -> usize {
        self.store.calls.load(Ordering::SeqCst)
    }
}

/// An address of the network of this number, each of a site of its own.
fn at(number: u32) -> Guesser<'static> {
    Guesser::Address(Some(Ipv4Addr::from(0x0a00_0001 + number * 256).into()))
}

async fn fails(guesses: &Guesses, guesser: Guesser<'_>, now: Millis) -> bool {
    guesses.count(guesser, 1, now).await.is_ok()
}

#[tokio::test]
async fn all_strangers_of_all_processes_share_one_bound() {
    let bench = Bench::new();
    let processes = [bench.process(), bench.process(), bench.process()];
    let mut checked = 0;
    for number in 0..400 {
        let process = &processes[number as usize % processes.len()];
        checked += u32::from(fails(process, at(number), NOW).await);
    }
    assert_eq!(checked, OF_ALL_STRANGERS);
    // All know by now, so nobody asks the store.
    let before = bench.calls();
    for number in 400..600 {
        assert!(!fails(&processes[number as usize % 3], at(number), NOW).await);
    }
    assert_eq!(bench.calls(), before);
    assert!(fails(&processes[0], at(1000), NOW + WINDOW).await);
}

#[tokio::test]
async fn a_crowd_at_once_gets_no_more_than_the_bounds() {
    let bench = Bench::new();
    let (a, b) = (bench.process(), bench.process());
    let mut checked = 0;
    for round in 0..20 {
        let crowd = (0..40).map(|n| {
            let process = if n % 2 == 0 { &a } else { &b };
            fails(process, at(round * 40 + n), NOW)
        });
        let let_through = futures_util::future::join_all(crowd).await;
        checked += let_through.into_iter().filter(|through| *through).count();
    }
    assert_eq!(checked, OF_ALL_STRANGERS as usize);
    // Of one source's crowd, only the free ones.
    let bench = Bench::new();
    let process = bench.process();
    let crowd = futures_util::future::join_all((0..200).map(|_| fails(&process, at(1), NOW))).await;
    assert!(crowd.into_iter().filter(|through| *through).count() <= FREE as usize);
}

#[tokio::test]
async fn one_site_does_not_use_up_what_all_strangers_have() {
    let bench = Bench::new();
    let process = bench.process();
    let site =
        |number: u16| Guesser::Address(Some(Ipv6Addr::new(0x2001, 0xdb8, 7, number, 0, 0, 0, 1).into()));
    let mut checked = 0;
    for number in 0..500 {
        checked += u32::from(fails(&process, site(number), NOW).await);
    }
    assert_eq!(checked, PER_SITE);
    assert!(fails(&process, at(1), NOW).await);
    // Mapped IPv4 is IPv4, and a link is one source.
    assert_eq!(
        networks(Some("::ffff:10.0.1.1".parse().unwrap())),
        networks(Some("10.0.1.1".parse().unwrap()))
    );
    assert_eq!(
        networks(Some("2001:db8:1:2::1".parse().unwrap())),
        networks(Some("2001:db8:1:2:ffff::9".parse().unwrap()))
    );
}

#[tokio::test]
async fn who_logged_in_before_gets_in_whatever_strangers_do() {
    let bench = Bench::new();
    let (here, there) = (bench.process(), bench.process());
    let home = at(5_000);
    let attempt = here.count(home, 1, NOW).await.unwrap();
    attempt.succeeded(&here, NOW).await.unwrap();
    for number in 0..300 {
        let _ = there.count(at(number), 1, NOW).await;
    }
    assert!(matches!(
        there.count(at(301), 1, NOW).await,
        Err(GuessError::Refused { .. })
    ));
    // In any process, one that has just started included.
    for process in [&here, &there, &bench.process()] {
        let attempt = process.count(home, 1, NOW).await.unwrap();
        attempt.succeeded(process, NOW).await.unwrap();
    }
    // Its own failures make it wait, and no longer than a minute.
    for _ in 0..FREE {
        assert!(fails(&here, home, NOW).await);
    }
    let mut now = NOW;
    for _ in 0..5 {
        let Err(GuessError::Refused { wait }) = here.count(home, 1, now).await else {
            panic!("not refused")
        };
        assert!(wait <= rules::LONGEST_WAIT_OF_KNOWN);
        now += wait;
        assert!(fails(&here, home, now).await);
    }
}

#[tokio::test]
async fn refusals_cost_no_io_until_a_minute_has_passed() {
    let bench = Bench::new();
    let process = bench.process();
    for _ in 0..FREE {
        assert!(fails(&process, at(1), NOW).await);
    }
    assert!(!fails(&process, at(1), NOW + 1).await);
    let before = bench.calls();
    for n in 0..1000 {
        assert!(process.refused(at(1), NOW + n).is_err());
        assert!(!fails(&process, at(1), NOW + n).await);
    }
    assert_eq!(bench.calls(), before);
    // The wait that is told is the whole one.
    assert!(matches!(
        process.count(at(1), 1, NOW + 1000).await,
        Err(GuessError::Refused { wait: 29_000 })
    ));
}

#[tokio::test]
async fn a_new_password_lets_everybody_begin_anew() {
    let bench = Bench::new();
    let process = bench.process();
    for number in 0..OF_ALL_STRANGERS {
        let _ = process.count(at(number), 1, NOW).await;
    }
    for _ in 0..FREE {
        let _ = process.count(Guesser::Session("s"), 1, NOW).await;
    }
    assert!(!fails(&process, at(999), NOW).await);
    assert!(!fails(&process, Guesser::Session("s"), NOW).await);
    process.begin_anew(NOW).await.unwrap();
    assert!(process.count(at(0), 2, NOW).await.is_ok());
    assert!(process.count(Guesser::Session("s"), 2, NOW).await.is_ok());
}

#[tokio::test]
async fn known_addresses_are_bounded_and_the_oldest_makes_room() {
    let bench = Bench::new();
    let process = bench.process();
    let address = |number: u32| Some(IpAddr::from(Ipv4Addr::from(0x0a00_0001 + number * 256)));
    for number in 0..100 {
        process
            .welcome(address(number), NOW + Millis::from(number))
            .await
            .unwrap();
    }
    let stored = bench
        .store
        .run(vec![Command::HGetAll {
            key: keys::LOGIN_KNOWN.to_owned(),
        }])
        .await
        .unwrap();
    let [Reply::Entries(entries)] = stored.as_slice() else {
        panic!()
    };
    assert_eq!(entries.len(), KNOWN_ADDRESSES);
    let newest = process.labels(Guesser::Address(address(99))).source;
    let oldest = process.labels(Guesser::Address(address(0))).source;
    assert!(entries.iter().any(|(label, _)| *label == newest));
    assert!(entries.iter().all(|(label, _)| *label != oldest));
}

#[tokio::test]
async fn a_store_that_is_away_lets_nobody_guess() {
    let bench = Bench::new();
    let process = bench.process();
    bench.store.away.store(true, Ordering::SeqCst);
    assert!(matches!(
        process.count(at(1), 1, NOW).await,
        Err(GuessError::Store(_))
    ));
    bench.store.away.store(false, Ordering::SeqCst);
    assert!(fails(&process, at(1), NOW).await);
}

#[tokio::test]
async fn only_so_many_are_checked_at_once_and_a_lost_turn_comes_back() {
    let bench = Bench::new();
    let process = bench.process();
    let home = at(5_000);
    let attempt = process.count(home, 1, NOW).await.unwrap();
    attempt.succeeded(&process, NOW).await.unwrap();
    let mut held = Vec::new();
    for number in 0..8 {
        held.push(process.count(at(number), 1, NOW).await.unwrap());
    }
    assert!(matches!(
        process.count(at(8), 1, NOW).await,
        Err(GuessError::Refused { wait: 1000 })
    ));
    // Strangers take no turn of the admin's.
    drop(process.count(home, 1, NOW).await.unwrap());
    drop(held.pop());
    drop(process.count(at(9), 1, NOW).await.unwrap());
    // A request that ended without a trace holds its turn for a minute.
    held.into_iter().for_each(std::mem::forget);
    let later = NOW + 60_000;
    for number in 20..40 {
        drop(process.count(at(number), 1, later).await.unwrap());
    }
}
