//! Figures for Prometheus. Labels are bounded: no key, account, model or path is one.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::error::Code;
use crate::model::usage::LedgerEvent;
use crate::port::billed::Service;
use crate::state::body_memory::BodyFigures;
use crate::state::outbox::{CAPACITY, Outbox};

pub struct Metrics {
    registry: Registry,
    requests: Family<SettledLabels, Counter>,
    refusals: Family<RefusedLabels, Counter>,
    attempts: Counter,
    tokens: Family<Class, Counter>,
    cost: Counter,
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
    billed_units: Family<Billed, Gauge>,
    billed_monthly: Family<Billed, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SettledLabels {
    platform: &'static str,
    endpoint: String,
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
            "SettledLabels calls that the store does not have yet",
            metrics.pending.clone(),
        );
        registry.register(
            "ledger_pending_bytes",
            "Memory that those take, about",
            metrics.pending_bytes.clone(),
        );
        registry.register(
            "ledger_capacity",
            "SettledLabels calls there is room for while the store takes no writes; of more the oldest are lost",
            metrics.capacity.clone(),
        );
        registry.register(
            "store_refusing_seconds",
            "For how long something could not be written that must be; 0: everything is",
            metrics.refusing.clone(),
        );
        registry.register(
            "ledger_lost",
            "SettledLabels calls dropped because the store took no writes for too long",
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

    /// A call got its slot after so long; one that did not wait is not counted.
    pub fn queued(&self, waited_ms: u64) {
        if waited_ms > 0 {
            self.queue_wait.observe(waited_ms as f64 / 1000.0);
        }
    }

    pub fn settled(&self, event: &LedgerEvent) {
        let labels = SettledLabels {
            platform: event.platform.name(),
            endpoint: event.endpoint.clone(),
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

    /// The Prometheus text format. `refusing`: for how many seconds the store has taken no writes.
    pub fn text(&self, outbox: &Outbox, refusing: u64, bodies: BodyFigures, billed: &[Service]) -> String {
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
