//! From every backend into every other, by a file.

use std::sync::Arc;

use crs_support::redis_server::RedisServer;
use crs_support::upstash::UpstashFront;

use super::{PASSPHRASE, head};
use crate::backup::load::{self, Load};
use crate::backup::{BackupReader, Pack, Passphrase, Summary};
use crate::host::native::clock::NativeClock;
use crate::model::secret::Secret;
use crate::port::store::{Command, Reply, Store as _};
use crate::port::whole::Whole;
use crate::secrets::tests::Counting;
use crate::store::embedded::Embedded;
use crate::store::memory::Memory;
use crate::store::tcp::Tcp;
use crate::store::upstash::{Limits, Upstash};

/// Years after any test runs.
const LATER: u64 = 4_000_000_000_000;

struct Backends {
    clock: Arc<NativeClock>,
    folder: tempfile::TempDir,
    redis: Vec<RedisServer>,
    fronts: Vec<UpstashFront>,
    next: usize,
}

impl Backends {
    async fn one(&mut self, kind: &str) -> Arc<dyn Whole> {
        self.next += 1;
        match kind {
            "memory" => Arc::new(Memory::new(self.clock.clone())),
            "embedded" => {
                let file = self.folder.path().join(format!("{}.redb", self.next));
                Arc::new(Embedded::open(&file, self.clock.clone()).unwrap())
            }
            "redis" => {
                let server = RedisServer::start();
                let store = Tcp::new(&server.url(0), None).unwrap();
                self.redis.push(server);
                Arc::new(store)
            }
            _ => {
                let server = RedisServer::start();
                let front = UpstashFront::start(&server).await;
                let token = Secret::new(front.token());
                let store =
                    Upstash::new(&front.url(), &token, self.clock.clone(), Limits::default()).unwrap();
                self.redis.push(server);
                self.fronts.push(front);
                Arc::new(store)
            }
        }
    }
}

/// Of every type and size, with and without an end, and values that are no text.
fn commands() -> Vec<Command> {
    let key = |key: &str| key.to_owned();
    let set = |name: &str, value: Vec<u8>, expire_at| Command::Set {
        key: key(name),
        value: value.into(),
        expire_at,
    };
    let mut commands = vec![
        set("text", b"v".to_vec(), None),
        set("empty", Vec::new(), None),
        set("bytes", vec![0xff, 0, 0xfe], Some(LATER + 1)),
        set("looks escaped", "\u{fffd}base64:YQ==".into(), None),
        set("large", vec![b'x'; 400_000], None),
        Command::HSet {
            key: key("hash:long"),
            entries: (0..2_500)
                .map(|n| (format!("f{n}"), format!("{{\"n\":{n}}}").into()))
                .collect(),
        },
        Command::PExpireAt {
            key: key("hash:long"),
            at: LATER + 2,
        },
        Command::HSet {
            key: key("钥匙"),
            entries: vec![(String::new(), "".into()), ("ä".into(), vec![0x80].into())],
        },
        Command::SAdd {
            key: key("set"),
            members: (0..1_500).map(|n| format!("m{n}")).collect(),
        },
        Command::ZAdd {
            key: key("sorted"),
            entries: (0..1_200)
                .map(|n| (f64::from(n) / 3.0, format!("m{n}")))
                .collect(),
        },
        Command::ZAdd {
            key: key("odd scores"),
            entries: vec![
                (f64::INFINITY, "high".into()),
                (f64::NEG_INFINITY, "low".into()),
                (1e-300, "small".into()),
                (9_007_199_254_740_993.0, "large".into()),
                (-0.0, "zero".into()),
            ],
        },
        set("crs:hold", b"apart".to_vec(), None),
    ];
    commands.extend((0..450).map(|n| set(&format!("k:{n}"), format!("{n}").into(), None)));
    commands
}

const APART: [&str; 1] = ["crs:hold"];

async fn pack(store: &dyn Whole, passphrase: Option<&Passphrase>) -> (Vec<u8>, Summary) {
    let mut pack = Pack::begin(head(), passphrase, &Counting::new()).unwrap();
    let mut file = Vec::new();
    let mut parts = store.parts().await.unwrap();
    while let Some(some) = load::next(&mut *parts, &APART).await.unwrap() {
        for part in some {
            pack.add(&part).unwrap();
        }
        file.extend(pack.take());
    }
    let (rest, summary) = pack.end(parts.left_out()).unwrap();
    file.extend(rest);
    (file, summary)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_backend_into_every_other() {
    let mut backends = Backends {
        clock: Arc::new(NativeClock::default()),
        folder: tempfile::tempdir().unwrap(),
        redis: Vec::new(),
        fronts: Vec::new(),
        next: 0,
    };
    let kinds = ["memory", "embedded", "redis", "upstash"];
    let mut digests = std::collections::BTreeSet::new();
    let passphrase = Passphrase::existing(PASSPHRASE);
    for from in kinds {
        let source = backends.one(from).await;
        for command in commands() {
            source.run(vec![command]).await.unwrap();
        }
        let seal = (from == "redis").then_some(&passphrase);
        let (file, summary) = pack(&*source, seal).await;
        assert_eq!((summary.keys, summary.left_out), (460, 0), "{from}");
        digests.insert(summary.digest.clone());
        for to in kinds {
            let target = backends.one(to).await;
            assert_eq!(target.size().await.unwrap(), 0);
            let mut unpack = BackupReader::read(file.as_slice()).unwrap().open(seal).unwrap();
            let mut load = Load::new(&*target, &*backends.clock);
            while let Some(part) = unpack.part().unwrap() {
                load.add(part).await.unwrap();
            }
            load.flush().await.unwrap();
            let digest = load::digest(&*target, &APART).await.unwrap();
            assert_eq!(digest.whole().to_string(), summary.digest, "{from} to {to}");
            assert_eq!(target.size().await.unwrap(), 460, "{from} to {to}");
        }
    }
    assert_eq!(digests.len(), 1, "all sources held the same");
}

#[tokio::test]
async fn what_no_crs_writes_is_counted_and_left_out() {
    let server = RedisServer::start();
    server.command(&["RPUSH", "list", "a"]);
    server.command(&["SET", "text", "v"]);
    server.command(&["XADD", "stream", "*", "a", "b"]);
    let store = Tcp::new(&server.url(0), None).unwrap();
    let (_, summary) = pack(&store, None).await;
    assert_eq!((summary.keys, summary.left_out), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_is_read_as_of_one_moment() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(NativeClock::default());
    let store = Arc::new(Embedded::open(&folder.path().join("s.redb"), clock).unwrap());
    // Every step moves one from one sum to the other.
    let step = |n: i64| {
        let by = |field: &str, by| Command::HIncrBy {
            key: format!("sums:{}", n % 50),
            field: field.to_owned(),
            by,
        };
        vec![
            by("a", 1),
            by("b", -1),
            Command::IncrBy {
                key: "z".into(),
                by: 1,
            },
            Command::IncrBy {
                key: "a".into(),
                by: -1,
            },
        ]
    };
    store.atomically(Vec::new(), step(0)).await.unwrap();
    let mut writing = {
        let store = store.clone();
        tokio::task::JoinSet::from_iter([async move {
            for n in 1..400 {
                store.atomically(Vec::new(), step(n)).await.unwrap();
            }
        }])
    };
    loop {
        let (file, _) = pack(&*store, None).await;
        let mut sum = 0;
        let mut unpack = BackupReader::read(file.as_slice()).unwrap().open(None).unwrap();
        while let Some(part) = unpack.part().unwrap() {
            let number = |text: &[u8]| std::str::from_utf8(text).unwrap().parse::<i64>().unwrap();
            match part.content {
                crate::port::whole::Content::Hash(entries) => {
                    sum += entries.iter().map(|(_, value)| number(value)).sum::<i64>();
                }
                crate::port::whole::Content::Text(text) => sum += number(&text),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(sum, 0);
        if let Some(done) = writing.try_join_next() {
            done.unwrap();
            break;
        }
    }
    let Reply::Value(Some(total)) = store
        .run(vec![Command::Get { key: "z".into() }])
        .await
        .unwrap()
        .remove(0)
    else {
        panic!("a number");
    };
    assert_eq!(total, "400");
}
