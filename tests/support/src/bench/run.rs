//! A run: start everything, measure in rounds, report.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use super::RunArgs;
use super::bodies::Order;
use super::cores::Cores;
use super::others::Other;
use super::report::{Aim, Figure, Report};
use super::scenario::{
    AT_ONCE, FEW_AT_ONCE, LARGE, Left, Load, Name, SMALL, Streams, alone, ask, in_turns, load_of, memory,
    streams,
};
use super::stats::Samples;
use super::target::{BEFORE, Own, Target};
use crate::relay::Relay;

/// Rounds of a measurement under load; its median counts.
const ROUNDS: usize = 3;

/// Aims of the relay with all its book-keeping.
mod aim {
    use super::Aim;

    pub(super) const CPU_SMALL: Aim = Aim::OfFloor(2.0);
    pub(super) const CPU_ALONE: Aim = Aim::OfFloor(1.6);
    pub(super) const CPU_LARGE: Aim = Aim::OfFloor(1.5);
    pub(super) const CPU_FRAME: Aim = Aim::OfFloor(1.15);
    pub(super) const FIRST_BYTE: Aim = Aim::OfFloor(1.4);
    pub(super) const P99_ALONE: Aim = Aim::OfFloor(1.5);
    pub(super) const P99_SMALL: Aim = Aim::OfFloor(2.0);
    pub(super) const ALLOCATIONS: Aim = Aim::AtMost(40.0);
    /// MiB.
    pub(super) const MEMORY: Aim = Aim::AtMost(32.0);
    /// MiB of many requests; less is the allocator's breathing.
    pub(super) const GROWTH: Aim = Aim::AtMost(1.0);
    /// Bytes of a request.
    pub(super) const STORED: Aim = Aim::AtMost(600.0);
}

/// Measures; returns the exit code: 1 if something failed, or an aim was missed and that matters.
pub(super) async fn run(args: RunArgs) -> u8 {
    let cores = if args.own_core {
        Cores::apart()
    } else {
        Cores::all()
    };
    let provider = Own::provider(args.provider_port);
    let mut targets = Vec::new();
    if let Some(program) = &args.relay {
        targets.push(Target::relay("relay", Relay::at(program), &provider.url, &cores).await);
        if args.redis {
            let setup = Relay::at(program).with_redis();
            targets.push(Target::relay("redis", setup, &provider.url, &cores).await);
        }
        if args.cluster {
            let setup = Relay::at(program).as_cluster();
            targets.push(Target::relay("redis x3", setup, &provider.url, &cores).await);
        }
    }
    if let Some(program) = &args.before {
        targets.push(Target::relay(BEFORE, Relay::at(program), &provider.url, &cores).await);
    }
    if let Some(checkout) = &args.worker {
        targets.push(Target::worker(checkout, &provider.url).await);
    }
    if let Some(url) = &args.against {
        targets.push(Target::at(
            "against",
            url,
            &args.against_key,
            args.against_pid.clone(),
        ));
    }
    targets.push(Target::floor(&provider.url, &cores));
    if !args.no_nginx {
        cores.to_target();
        targets.extend(Target::nginx(&provider.url).await);
        cores.to_others();
    }
    // Its processor time is the provider's: it shows that the provider is not what was measured.
    targets.push(Target::at(
        "direct",
        &provider.url,
        "sk-ant-api03-bench",
        vec![provider.process()],
    ));

    let mut bench = Bench {
        report: Report::new(targets.iter().map(|t| t.name).collect()),
        targets,
    };
    let wanted = |name| args.only.is_empty() || args.only.contains(&name);
    let times = if args.quick { 1 } else { 5 };
    if wanted(Name::Small) {
        bench.small(4000 * times).await;
    }
    if wanted(Name::Alone) {
        bench.alone(1000 * times).await;
    }
    if wanted(Name::Large) {
        bench.large(1000 * times).await;
    }
    if wanted(Name::Others) {
        bench.others(1000 * times).await;
    }
    if wanted(Name::Latency) {
        bench.latency(1000 * times).await;
    }
    if wanted(Name::FirstByte) {
        bench.first_byte(200 * times).await;
    }
    if wanted(Name::Frames) {
        bench.frames(1 + times).await;
    }
    if wanted(Name::Streams) {
        bench.streams().await;
    }
    if wanted(Name::Memory) {
        bench.memory(args.million).await;
    }
    bench.starts(args.worker.as_deref());

    println!("{}", bench.report.table());
    let facts = facts(&args);
    if let Err(error) = bench.report.write(&args.json, facts) {
        eprintln!("cannot write {}: {error}", args.json.display());
        return 1;
    }
    u8::from(bench.report.failed() || args.strict && !bench.report.missed().is_empty())
}

struct Bench {
    targets: Vec<Target>,
    report: Report,
}

impl Bench {
    async fn small(&mut self, count: usize) {
        let loads = self.loads("2 KB, 32 at once", SMALL, AT_ONCE, count).await;
        let title = "CPU per request, 2 KB, 32 at once";
        self.report.row(
            "cpu_small",
            title,
            "us",
            Some(aim::CPU_SMALL),
            figures(&loads, |l| l.cpu),
        );
        let title = "requests per second, 2 KB, 32 at once";
        self.report.row(
            "rate_small",
            title,
            "1/s",
            None,
            figures(&loads, |l| Some(l.per_second)),
        );
        if loads.iter().flatten().any(|load| load.billed.is_some()) {
            let counted = [
                ("allocations", "allocations per request", Some(aim::ALLOCATIONS)),
                ("allocated", "bytes of them", None),
                ("object_messages", "messages to Durable Objects per request", None),
                ("object_rows", "rows that they write per request", None),
                ("store_commands", "commands at Upstash per request", None),
            ];
            for (unit, (id, title, aim)) in counted.into_iter().enumerate() {
                let units = figures(&loads, |l| l.billed.and_then(|billed| billed[unit]));
                if units.iter().any(Option::is_some) {
                    self.report.row(id, title, "1", aim, units);
                }
            }
        }
        if loads.iter().flatten().any(|load| load.redis.is_some()) {
            let spent = [
                ("redis_cpu", "CPU of Redis per request", "us", 1000.0),
                ("redis_commands", "commands at Redis per request", "1", 1.0),
                ("redis_bytes", "bytes to Redis per request", "bytes", 1.0),
            ];
            for (at, (id, title, unit, per)) in spent.into_iter().enumerate() {
                let units = figures(&loads, |l| l.redis.map(|redis| redis[at] / per));
                self.report.row(id, title, unit, None, units);
            }
        }
        let title = "p99 under that load";
        let p99 = figures(&loads, |l| Some(l.latency.percentile(99.0)));
        self.report
            .row("p99_small", title, "us", Some(aim::P99_SMALL), p99);
    }

    async fn alone(&mut self, count: usize) {
        let mut all: Vec<Vec<f64>> = self.targets.iter().map(|_| Vec::new()).collect();
        for round in 1..=ROUNDS {
            for (target, all) in self.targets.iter().zip(&mut all) {
                eprintln!("one at a time, round {round} of {ROUNDS}: {}", target.name);
                match alone(target, count).await {
                    Ok(cpu) => all.extend(cpu),
                    Err(error) => self.report.error(target.name, "one at a time", error),
                }
            }
        }
        let title = "CPU per request, 2 KB, one at a time";
        let cpu = all.into_iter().map(|rounds| median(rounds.into_iter())).collect();
        self.report
            .row("cpu_alone", title, "us", Some(aim::CPU_ALONE), cpu);
    }

    async fn large(&mut self, count: usize) {
        let loads = self.loads("100 KB, 8 at once", LARGE, FEW_AT_ONCE, count).await;
        let title = "CPU per request, 100 KB, 8 at once";
        self.report.row(
            "cpu_large",
            title,
            "us",
            Some(aim::CPU_LARGE),
            figures(&loads, |l| l.cpu),
        );
        let title = "requests per second, 100 KB, 8 at once";
        self.report.row(
            "rate_large",
            title,
            "1/s",
            None,
            figures(&loads, |l| Some(l.per_second)),
        );
    }

    async fn others(&mut self, count: usize) {
        for (other, path, ids, titles) in [
            (
                Other::Responses,
                "/openai/responses",
                ["cpu_responses", "rate_responses"],
                [
                    "CPU per stream of /openai/responses, 100 KB, 32 at once",
                    "streams per second of /openai/responses",
                ],
            ),
            (
                Other::Gemini,
                "/gemini/...:streamGenerateContent",
                ["cpu_gemini", "rate_gemini"],
                [
                    "CPU per stream of /gemini/...:streamGenerateContent, 100 KB, 32 at once",
                    "streams per second of /gemini/...:streamGenerateContent",
                ],
            ),
            (
                Other::Bridge,
                "/antigravity/api/v1/messages",
                ["cpu_bridge", "rate_bridge"],
                [
                    "CPU per stream of /antigravity/api/v1/messages, 100 KB, 32 at once",
                    "streams per second of /antigravity/api/v1/messages",
                ],
            ),
            (
                Other::MessagesToResponses,
                "messages_to_responses",
                ["cpu_messages_to_responses", "rate_messages_to_responses"],
                [
                    "CPU per stream of /api/v1/messages on OpenAI, 100 KB, 32 at once",
                    "streams per second of /api/v1/messages on OpenAI",
                ],
            ),
            (
                Other::MessagesToGemini,
                "messages_to_gemini",
                ["cpu_messages_to_gemini", "rate_messages_to_gemini"],
                [
                    "CPU per stream of /api/v1/messages on Gemini, 100 KB, 32 at once",
                    "streams per second of /api/v1/messages on Gemini",
                ],
            ),
            (
                Other::MessagesToChat,
                "messages_to_chat",
                ["cpu_messages_to_chat", "rate_messages_to_chat"],
                [
                    "CPU per stream of /api/v1/messages on Chat Completions, 100 KB, 32 at once",
                    "streams per second of /api/v1/messages on Chat Completions",
                ],
            ),
            (
                Other::ResponsesToMessages,
                "responses_to_messages",
                ["cpu_responses_to_messages", "rate_responses_to_messages"],
                [
                    "CPU per stream of /openai/responses on Claude, 100 KB, 32 at once",
                    "streams per second of /openai/responses on Claude",
                ],
            ),
        ] {
            let ask = |target: &Target, session| other.request(target, LARGE, session);
            let loads = self.loads_of(path, AT_ONCE, count, ask).await;
            let cpu = figures(&loads, |l| l.cpu);
            self.report.row(ids[0], titles[0], "us", None, cpu);
            let rate = figures(&loads, |l| Some(l.per_second));
            self.report.row(ids[1], titles[1], "1/s", None, rate);
        }
    }

    /// Rounds over all targets, so that whatever disturbs the machine disturbs them alike.
    async fn loads(&mut self, what: &str, size: usize, at_once: usize, count: usize) -> Vec<Vec<Load>> {
        let ask = |target: &Target, session| ask(target, size, Order::WHOLE, session);
        self.loads_of(what, at_once, count, ask).await
    }

    async fn loads_of(
        &mut self,
        what: &str,
        at_once: usize,
        count: usize,
        ask: impl Fn(&Target, usize) -> Vec<u8>,
    ) -> Vec<Vec<Load>> {
        let mut loads: Vec<Vec<Load>> = self.targets.iter().map(|_| Vec::new()).collect();
        for round in 1..=ROUNDS {
            for (target, loads) in self.targets.iter().zip(&mut loads) {
                eprintln!("{what}, round {round} of {ROUNDS}: {}", target.name);
                match load_of(target, at_once, count, |session| ask(target, session)).await {
                    Ok(load) => loads.push(load),
                    Err(error) => self.report.error(target.name, what, error),
                }
            }
        }
        loads
    }

    async fn latency(&mut self, count: usize) {
        eprintln!("one at a time, in turns: all");
        let samples = in_turns(&self.targets, count, false).await;
        let samples = self.unwrapped("one at a time", samples);
        let p50 = "added to a request, one at a time, p50";
        self.report
            .row("added_p50", p50, "us", None, added(&samples, 50.0));
        let p99 = "added to a request, one at a time, p99";
        self.report.row(
            "added_p99",
            p99,
            "us",
            Some(aim::P99_ALONE),
            added(&samples, 99.0),
        );
    }

    async fn first_byte(&mut self, count: usize) {
        eprintln!("first bytes, in turns: all");
        let samples = in_turns(&self.targets, count, true).await;
        let samples = self.unwrapped("first byte", samples);
        let p50 = "added to a stream's first byte, p50";
        self.report
            .row("first_byte_p50", p50, "us", None, added(&samples, 50.0));
        let p99 = "added to a stream's first byte, p99";
        self.report
            .row("first_byte_p99", p99, "us", None, added(&samples, 99.0));
    }

    async fn frames(&mut self, rounds: usize) {
        let all = self.many_streams("64 streams", 64, rounds).await;
        let cpu = |s: &Vec<Streams>| median(s.iter().filter_map(|s| s.cpu));
        let title = "CPU per frame, 64 paced streams";
        self.report.row(
            "cpu_frame",
            title,
            "us",
            Some(aim::CPU_FRAME),
            all.iter().map(cpu).collect(),
        );
        let first = |streams: &Vec<Streams>| {
            let mut first = Samples::default();
            for seen in streams.iter().map(|s| &s.seen) {
                first.extend(&seen.first_byte);
            }
            (!streams.is_empty()).then_some(first)
        };
        let first: Vec<Option<Samples>> = all.iter().map(first).collect();
        let title = "added to the first byte, 64 paced streams, p50";
        let aim = Some(aim::FIRST_BYTE);
        self.report
            .row("first_byte_64", title, "us", aim, added(&first, 50.0));
        self.stream_rows(
            &all,
            ["frames_lost", "frames_merged", "frame_p50", "frame_p99"],
            [
                "deltas lost, 64 paced streams",
                "deltas that caught up with the one before",
                "added to a delta, p50",
                "added to a delta, p99",
            ],
        );
    }

    async fn streams(&mut self) {
        let all = self.many_streams("256 streams", 256, 1).await;
        let broken = |s: &Vec<Streams>| s.first().map(|s| s.broken as f64);
        let title = "broken of 256 paced streams";
        self.report.row(
            "streams_broken",
            title,
            "1",
            Some(Aim::AtMost(0.0)),
            all.iter().map(broken).collect(),
        );
        self.stream_rows(
            &all,
            ["streams_lost", "streams_merged", "streams_p50", "streams_p99"],
            [
                "deltas lost, 256 paced streams",
                "deltas that caught up with the one before",
                "added to a delta, p50",
                "added to a delta, p99",
            ],
        );
    }

    async fn many_streams(&mut self, what: &str, count: usize, rounds: usize) -> Vec<Vec<Streams>> {
        let mut all: Vec<Vec<Streams>> = self.targets.iter().map(|_| Vec::new()).collect();
        for round in 1..=rounds {
            for (target, all) in self.targets.iter().zip(&mut all) {
                eprintln!("{what}, round {round} of {rounds}: {}", target.name);
                match streams(target, count).await {
                    Ok(streams) => {
                        if let Some(error) = &streams.error {
                            let error = format!("{} broken: {error}", streams.broken);
                            self.report.error(target.name, what, error);
                        }
                        all.push(streams);
                    }
                    Err(error) => self.report.error(target.name, what, error),
                }
            }
        }
        all
    }

    fn stream_rows(&mut self, all: &[Vec<Streams>], ids: [&'static str; 4], titles: [&'static str; 4]) {
        let sum = |of: fn(&Streams) -> u64| -> Vec<Option<f64>> {
            let sum = |s: &Vec<Streams>| (!s.is_empty()).then(|| s.iter().map(of).sum::<u64>() as f64);
            all.iter().map(sum).collect()
        };
        self.report.row(
            ids[0],
            titles[0],
            "1",
            Some(Aim::AtMost(0.0)),
            sum(|s| s.seen.lost),
        );
        self.report
            .row(ids[1], titles[1], "1", None, sum(|s| s.seen.merged));
        let delays: Vec<Option<Samples>> = all
            .iter()
            .map(|streams| {
                let mut delay = Samples::default();
                for seen in streams.iter().map(|s| &s.seen) {
                    delay.extend(&seen.delay);
                }
                (!streams.is_empty()).then_some(delay)
            })
            .collect();
        self.report
            .row(ids[2], titles[2], "us", None, added(&delays, 50.0));
        self.report
            .row(ids[3], titles[3], "us", None, added(&delays, 99.0));
    }

    async fn memory(&mut self, million: bool) {
        let (counts, titles): (&[usize], &[_]) = if million {
            (
                &[10_000, 100_000, 1_000_000],
                &[
                    ("memory_10k", "memory, 10,000 requests later"),
                    ("memory_100k", "memory, 100,000 requests later"),
                    ("memory_1m", "memory, 1,000,000 requests later"),
                ],
            )
        } else {
            (&[20_000], &[("memory_after", "memory, 20,000 requests later")])
        };
        let mut all = Vec::new();
        for target in &self.targets {
            // The provider's own memory says nothing of a relay.
            if target.name == "direct" {
                all.push(None);
                continue;
            }
            eprintln!("memory over {counts:?} requests: {}", target.name);
            match memory(target, counts).await {
                Ok(figures) => all.push(figures),
                Err(error) => {
                    self.report.error(target.name, "memory", error);
                    all.push(None);
                }
            }
        }
        let mib = |kib: u64| kib as f64 / 1024.0;
        let before = all.iter().map(|left| left.as_ref().map(|left| mib(left.before)));
        let aim = Some(aim::MEMORY);
        self.report
            .row("memory_before", "memory, warm", "MiB", aim, before.collect());
        for (at, (id, title)) in titles.iter().enumerate() {
            let after = |left: &Option<Left>| Some(mib(*left.as_ref()?.after.get(at)?));
            self.report
                .row(id, title, "MiB", aim, all.iter().map(after).collect());
        }
        let growth = |left: &Option<Left>| {
            let left = left.as_ref()?;
            Some(mib(*left.after.last()?) - mib(left.before))
        };
        let growth = all.iter().map(growth).collect();
        let title = "growth in between";
        self.report
            .row("memory_growth", title, "MiB", Some(aim::GROWTH), growth);
        let stored = all.iter().map(|left| left.as_ref()?.stored).collect();
        let title = "what each request added to the store's file";
        self.report
            .row("stored", title, "bytes", Some(aim::STORED), stored);
    }

    /// What can be said of them without load.
    fn starts(&mut self, worker: Option<&Path>) {
        let starts = self.targets.iter().map(|target| target.start).collect();
        self.report
            .row("start", "from start to first answer", "ms", None, starts);
        if let Some(size) = worker.and_then(uploaded) {
            let sizes = self.targets.iter().map(|t| (t.name == "worker").then_some(size));
            let title = "size of the upload, compressed";
            self.report.row("size", title, "KiB", None, sizes.collect());
        }
    }

    fn unwrapped(&mut self, what: &str, samples: Vec<io::Result<Samples>>) -> Vec<Option<Samples>> {
        let names = self.targets.iter().map(|target| target.name);
        names
            .zip(samples)
            .map(|(name, samples)| samples.map_err(|error| self.report.error(name, what, error)).ok())
            .collect()
    }
}

/// What a checkout's Worker weighs when it is uploaded, compressed, in KiB.
fn uploaded(checkout: &Path) -> Option<f64> {
    let mut bytes = 0;
    for file in ["index.js", "index_bg.wasm"] {
        let content = std::fs::read(checkout.join("build").join(file)).ok()?;
        let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
        compressed.write_all(&content).ok()?;
        bytes += compressed.finish().ok()?.len();
    }
    Some(bytes as f64 / 1024.0)
}

/// The median over each target's rounds.
fn figures(loads: &[Vec<Load>], of: impl Fn(&Load) -> Option<f64>) -> Vec<Option<Figure>> {
    loads
        .iter()
        .map(|rounds| median(rounds.iter().filter_map(&of)))
        .collect()
}

fn median(values: impl Iterator<Item = f64>) -> Option<Figure> {
    let mut samples = Samples::default();
    let mut any = false;
    for value in values {
        samples.add_micros(value);
        any = true;
    }
    any.then(|| Figure {
        value: samples.median(),
        spread: Some((samples.percentile(0.0), samples.percentile(100.0))),
    })
}

/// A percentile minus that of the last target, which is going direct; its own row shows what it is itself.
fn added(samples: &[Option<Samples>], percent: f64) -> Vec<Option<f64>> {
    let direct = samples
        .last()
        .cloned()
        .flatten()
        .map(|samples| samples.percentile(percent));
    let (_, others) = samples.split_last().expect("going direct is always measured");
    let mut added: Vec<_> = others
        .iter()
        .map(|s| {
            s.as_ref()
                .zip(direct)
                .map(|(s, direct)| s.percentile(percent) - direct)
        })
        .collect();
    added.push(direct);
    added
}

fn facts(args: &RunArgs) -> Map<String, Value> {
    let said = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let facts = json!({
        "quick": args.quick,
        "relay": args.relay.as_deref().and_then(|program| said(program, "--version")),
        "ownCore": args.own_core,
        "machine": {
            "processor": cpu,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "kernel": said(Path::new("uname"), "-r"),
            "loadAfter": load.split(' ').next(),
        },
    });
    match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    }
}
