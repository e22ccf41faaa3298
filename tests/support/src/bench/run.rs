//! A run: start everything, measure in rounds, report.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

use super::RunArgs;
use super::bodies::Order;
use super::others::Other;
use super::report::Report;
use super::scenario::{LARGE, Load, Name, SMALL, Streams, ask, in_turns, load_of, memory, streams};
use super::stats::Samples;
use super::target::{Provider, Target};

/// Rounds of a measurement under load; its median counts.
const ROUNDS: usize = 3;

/// Aims of the relay with all its book-keeping, on two cores: microseconds, or MiB.
mod aim {
    pub(super) const CPU_SMALL: f64 = 60.0;
    pub(super) const CPU_LARGE: f64 = 120.0;
    pub(super) const CPU_FRAME: f64 = 30.0;
    pub(super) const FIRST_BYTE: f64 = 300.0;
    pub(super) const MEMORY: f64 = 40.0;
    /// Of 20,000 requests; less is the allocator's breathing.
    pub(super) const GROWTH: f64 = 1.0;
}

/// Measures; returns the exit code: 1 if something failed, or an aim was missed and that matters.
pub(super) async fn run(args: RunArgs) -> u8 {
    let provider = Provider::start(args.provider_port);
    let mut targets = Vec::new();
    if let Some(program) = &args.relay {
        targets.push(Target::relay(program, &provider.url).await);
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
    if !args.no_nginx {
        targets.extend(Target::nginx(&provider.url).await);
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
        bench.memory(20_000).await;
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
        let loads = self.loads("2 KB, 32 at once", SMALL, count).await;
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
            let billed = [
                ("object_messages", "messages to Durable Objects per request"),
                ("object_rows", "rows that they write per request"),
                ("store_commands", "commands at Upstash per request"),
            ];
            for (unit, (id, title)) in billed.into_iter().enumerate() {
                let units = figures(&loads, |l| l.billed.map(|billed| billed[unit]));
                self.report.row(id, title, "1", None, units);
            }
        }
        let title = "p99 under that load";
        let p99 = figures(&loads, |l| Some(l.latency.percentile(99.0)));
        self.report.row("p99_small", title, "us", None, p99);
    }

    async fn large(&mut self, count: usize) {
        let loads = self.loads("100 KB, 32 at once", LARGE, count).await;
        let title = "CPU per request, 100 KB, 32 at once";
        self.report.row(
            "cpu_large",
            title,
            "us",
            Some(aim::CPU_LARGE),
            figures(&loads, |l| l.cpu),
        );
        let title = "requests per second, 100 KB, 32 at once";
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
        ] {
            let ask = |target: &Target, session| other.request(target, LARGE, session);
            let loads = self.loads_of(path, count, ask).await;
            let cpu = figures(&loads, |l| l.cpu);
            self.report.row(ids[0], titles[0], "us", None, cpu);
            let rate = figures(&loads, |l| Some(l.per_second));
            self.report.row(ids[1], titles[1], "1/s", None, rate);
        }
    }

    /// Rounds over all targets, so that whatever disturbs the machine disturbs them alike.
    async fn loads(&mut self, what: &str, size: usize, count: usize) -> Vec<Vec<Load>> {
        let ask = |target: &Target, session| ask(target, size, Order::WHOLE, session);
        self.loads_of(what, count, ask).await
    }

    async fn loads_of(
        &mut self,
        what: &str,
        count: usize,
        ask: impl Fn(&Target, usize) -> Vec<u8>,
    ) -> Vec<Vec<Load>> {
        let mut loads: Vec<Vec<Load>> = self.targets.iter().map(|_| Vec::new()).collect();
        for round in 1..=ROUNDS {
            for (target, loads) in self.targets.iter().zip(&mut loads) {
                eprintln!("{what}, round {round} of {ROUNDS}: {}", target.name);
                match load_of(target, count, |session| ask(target, session)).await {
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
        self.report
            .row("added_p99", p99, "us", None, added(&samples, 99.0));
    }

    async fn first_byte(&mut self, count: usize) {
        eprintln!("first bytes, in turns: all");
        let samples = in_turns(&self.targets, count, true).await;
        let samples = self.unwrapped("first byte", samples);
        let p50 = "added to a stream's first byte, p50";
        self.report.row(
            "first_byte_p50",
            p50,
            "us",
            Some(aim::FIRST_BYTE),
            added(&samples, 50.0),
        );
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
            Some(0.0),
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
        self.report
            .row(ids[0], titles[0], "1", Some(0.0), sum(|s| s.seen.lost));
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

    async fn memory(&mut self, count: usize) {
        let mut all = Vec::new();
        for target in &self.targets {
            // The provider's own memory says nothing of a relay.
            if target.name == "direct" {
                all.push(None);
                continue;
            }
            eprintln!("memory over {count} requests: {}", target.name);
            match memory(target, count).await {
                Ok(figures) => all.push(figures),
                Err(error) => {
                    self.report.error(target.name, "memory", error);
                    all.push(None);
                }
            }
        }
        let mib = |of: fn((u64, u64)) -> f64| all.iter().map(|f| f.map(|f| of(f) / 1024.0)).collect();
        self.report.row(
            "memory_before",
            "memory, warm",
            "MiB",
            Some(aim::MEMORY),
            mib(|(before, _)| before as f64),
        );
        let title = "memory, 20,000 requests later";
        self.report.row(
            "memory_after",
            title,
            "MiB",
            Some(aim::MEMORY),
            mib(|(_, after)| after as f64),
        );
        let growth = mib(|(before, after)| after as f64 - before as f64);
        self.report.row(
            "memory_growth",
            "growth in between",
            "MiB",
            Some(aim::GROWTH),
            growth,
        );
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
fn figures(loads: &[Vec<Load>], of: impl Fn(&Load) -> Option<f64>) -> Vec<Option<f64>> {
    loads
        .iter()
        .map(|rounds| median(rounds.iter().filter_map(&of)))
        .collect()
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut samples = Samples::default();
    let mut any = false;
    for value in values {
        samples.add_micros(value);
        any = true;
    }
    any.then(|| samples.median())
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
