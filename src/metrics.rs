//! Figures for Prometheus. Label values are limited: keys, accounts, models and paths are not labels.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::error::Code;
use crate::model::price;
use crate::model::usage::LedgerEvent;
use crate::port::billed::Service;
use crate::port::gates::HomeFigures;
use crate::state::body_memory::BodyFigures;
use crate::state::outbox::{CAPACITY, Outbox};

pub struct Metrics {
    registry: Registry,
    requests: Family<SettledLabels, Counter>,
    refusals: Family<RefusedLabels, Counter>,
    attempts: Counter,
    tokens: Family<Class, Counter>,
    cost: Counter,
    guessed: Counter,
    first_byte: Histogram,
    duration: Histogram,
    queue_wait: Histogram,
    pending: Gauge,
    pending_bytes: Gauge,
    capacity: Gauge,
    refusing: Gauge,
    lost: Gauge,
    body_memory: Gauge,
    body_memory_peak: Gauge,
    unpacked: Gauge,
    home: Family<Home, Gauge>,
    machine_steps: Gauge,
    machine_commands: Gauge,
    machine_conflicts: Gauge,
    machine_replays: Gauge,
    machine_kept: Gauge,
    billed_units: Family<Billed, Gauge>,
    billed_monthly: Family<Billed, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SettledLabels {
    platform: &'static str,
    endpoint: &'static str,
    /// `2xx`, `4xx`, ...
    status: &'static str,
    quality: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Class {
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Home {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Billed {
    service: &'static str,
}

/// Seconds; a model may think for minutes.
const BUCKETS: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0,
];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("crs");
        let metrics = Self {
            requests: Family::default(),
            refusals: Family::default(),
            attempts: Counter::default(),
            tokens: Family::default(),
            cost: Counter::default(),
            guessed: Counter::default(),
            first_byte: Histogram::new(BUCKETS),
            duration: Histogram::new(BUCKETS),
            queue_wait: Histogram::new(BUCKETS),
            pending: Gauge::default(),
            pending_bytes: Gauge::default(),
            capacity: Gauge::default(),
            refusing: Gauge::default(),
            lost: Gauge::default(),
            body_memory: Gauge::default(),
            body_memory_peak: Gauge::default(),
            unpacked: Gauge::default(),
            home: Family::default(),
            machine_steps: Gauge::default(),
            machine_commands: Gauge::default(),
            machine_conflicts: Gauge::default(),
            machine_replays: Gauge::default(),
            machine_kept: Gauge::default(),
            billed_units: Family::default(),
            billed_monthly: Family::default(),
            registry: Registry::default(),
        };
        registry.register("calls", "Calls that reached a provider", metrics.requests.clone());
        registry.register(
            "refusals",
            "Requests the relay answered with an error of its own",
            metrics.refusals.clone(),
        );
        registry.register("attempts", "Provider calls made", metrics.attempts.clone());
        registry.register("tokens", "Tokens used, by class", metrics.tokens.clone());
        registry.register(
            "cost_micro_usd",
            "Cost of all calls, in millionths of a dollar",
            metrics.cost.clone(),
        );
        registry.register(
            "guessed_price_calls",
            "Calls of models without a price, charged the highest one of their family; `crs prices` names them",
            metrics.guessed.clone(),
        );
        registry.register(
            "first_byte_seconds",
            "From a request's arrival to its first byte",
            metrics.first_byte.clone(),
        );
        registry.register(
            "duration_seconds",
            "From a request's arrival to its end",
            metrics.duration.clone(),
        );
        registry.register(
            "queue_wait_seconds",
            "How long calls waited for a slot of their key, of those that got one after waiting",
            metrics.queue_wait.clone(),
        );
        registry.register(
            "ledger_pending",
            "Settled calls that the store does not have yet",
            metrics.pending.clone(),
        );
        registry.register(
            "ledger_pending_bytes",
            "Memory that those take, about",
            metrics.pending_bytes.clone(),
        );
        registry.register(
            "ledger_capacity",
            "Settled calls there is room for while the store takes no writes; of more the oldest are lost",
            metrics.capacity.clone(),
        );
        registry.register(
            "store_refusing_seconds",
            "For how long something could not be written that must be; 0: everything is",
            metrics.refusing.clone(),
        );
        registry.register(
            "ledger_lost",
            "Settled calls dropped because the store took no writes for too long",
            metrics.lost.clone(),
        );
        registry.register(
            "body_memory_bytes",
            "Memory that request bodies hold now",
            metrics.body_memory.clone(),
        );
        registry.register(
            "body_memory_peak_bytes",
            "The most memory that request bodies ever held at once",
            metrics.body_memory_peak.clone(),
        );
        registry.register(
            "body_unpacked_bytes",
            "Bytes that compressed request bodies were unpacked to, since the start",
            metrics.unpacked.clone(),
        );
        registry.register(
            "limits_home",
            "1 for where the limits of keys and the state of accounts live",
            metrics.home.clone(),
        );
        for (name, help, gauge) in [
            (
                "machine_steps",
                "Steps of shared limits and accounts that were sent to their home, since the start",
                &metrics.machine_steps,
            ),
            (
                "machine_commands",
                "Commands that those steps answered",
                &metrics.machine_commands,
            ),
            (
                "machine_conflicts",
                "Steps for which another process was faster",
                &metrics.machine_conflicts,
            ),
            (
                "machine_replays",
                "Commands said again after their home was away",
                &metrics.machine_replays,
            ),
            (
                "machine_kept",
                "Commands answered while their home is away",
                &metrics.machine_kept,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "platform_units",
            "What the host's platform bills for, used by this isolate since it started",
            metrics.billed_units.clone(),
        );
        registry.register(
            "platform_monthly_micro_usd",
            "Estimated bill of a month at this isolate's rate so far, beyond what plans include, in millionths of a dollar",
            metrics.billed_monthly.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    pub fn refused(&self, code: Code) {
        self.refusals
            .get_or_create(&RefusedLabels { reason: code.name() })
            .inc();
    }

    /// Records how long a call waited for its slot; calls that did not wait are not counted.
    pub fn queued(&self, waited_ms: u64) {
        if waited_ms > 0 {
            self.queue_wait.observe(waited_ms as f64 / 1000.0);
        }
    }

    pub fn settled(&self, event: &LedgerEvent, endpoint: &'static str) {
        let labels = SettledLabels {
            platform: event.platform.name(),
            endpoint,
            status: match event.status {
                200..300 => "2xx",
                400..500 => "4xx",
                500..600 => "5xx",
                _ => "other",
            },
            quality: event.quality.name(),
        };
        self.requests.get_or_create(&labels).inc();
        self.attempts.inc_by(u64::from(event.attempts));
        self.cost.inc_by(event.cost.0);
        if event.cost.0 > 0 && event.price_version.contains(price::DEAREST) {
            self.guessed.inc();
        }
        let tokens = &event.tokens;
        for (class, count) in [
            ("input", tokens.input),
            ("output", tokens.output),
            ("cache_write_5m", tokens.cache_write_5m),
            ("cache_write_1h", tokens.cache_write_1h),
            ("cache_read", tokens.cache_read),
        ] {
            if count > 0 {
                self.tokens.get_or_create(&Class { class }).inc_by(count);
            }
        }
        if let Some(first) = event.first_byte_ms {
            self.first_byte.observe(first as f64 / 1000.0);
        }
        self.duration.observe(event.duration_ms as f64 / 1000.0);
    }

    /// The metrics in Prometheus's text format. `refusing`: seconds since the store stopped accepting writes.
    pub fn text(
        &self,
        outbox: &Outbox,
        refusing: u64,
        bodies: BodyFigures,
        home: &HomeFigures,
        billed: &[Service],
    ) -> String {
        for Service {
            name: service,
            units,
            monthly_micro_usd,
        } in billed
        {
            let label = Billed { service };
            self.billed_units.get_or_create(&label).set(*units as i64);
            self.billed_monthly
                .get_or_create(&label)
                .set(*monthly_micro_usd as i64);
        }
        let of = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        self.home.get_or_create(&Home { kind: home.kind }).set(1);
        self.machine_steps.set(of(home.steps));
        self.machine_commands.set(of(home.commands));
        self.machine_conflicts.set(of(home.conflicts));
        self.machine_replays.set(of(home.replayed));
        self.machine_kept.set(of(home.kept));
        let waiting = outbox.waiting();
        self.pending.set(waiting.events as i64);
        self.pending_bytes.set(waiting.bytes as i64);
        self.capacity.set(CAPACITY as i64);
        self.refusing.set(refusing as i64);
        self.body_memory.set(bodies.used as i64);
        self.body_memory_peak.set(bodies.peak as i64);
        self.unpacked.set(bodies.unpacked as i64);
        self.lost.set(outbox.lost() as i64);
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics cannot be written");
        }
        text
    }
}
