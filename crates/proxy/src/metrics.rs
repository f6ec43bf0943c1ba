//! Every metric, in one struct on a registry of its own.
//!
//! What a request touches is resolved to its counter when the listener is made ([`ListenerMetrics`])
//! or the policy is loaded, so that a decision costs one atomic addition: no hashing, no lock.
//! `docs/metrics.md` lists all of this; a test compares it with the endpoint.

mod blocked;
mod listener;
mod process;

use std::sync::Arc;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use self::blocked::BlockedHosts;
pub use self::listener::ListenerMetrics;
use self::process::Process;
use crate::upstream::DIRECT;

use crate::budget::State;
use crate::head::Fault;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Rules of one listener that have a label of their own; the others share [`OTHER`].
pub const MAX_RULES: usize = 500;

/// The label of what is beyond a bound.
pub const OTHER: &str = "other";

/// Why a connection ended before a request of it was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The limit of connections is reached; answered 503.
    TooManyConnections,
    /// The process or the system has no descriptor left; the connection waits in the backlog.
    OutOfDescriptors,
    /// Accepting failed in another way.
    AcceptFailed,
    /// The head was not HTTP/1.1, or not acceptable as such; answered 400.
    BadHead,
    /// The head was larger than the limit; answered 431.
    HeadTooLarge,
    /// The head did not come in time.
    HeadTimedOut,
    /// The admin listener was reached by an address that is not its own.
    WrongAddress,
}

impl Rejection {
    /// All of them; each starts at 0.
    pub const ALL: [Self; 7] = [
        Self::TooManyConnections,
        Self::OutOfDescriptors,
        Self::AcceptFailed,
        Self::BadHead,
        Self::HeadTooLarge,
        Self::HeadTimedOut,
        Self::WrongAddress,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooManyConnections => "too_many_connections",
            Self::OutOfDescriptors => "out_of_descriptors",
            Self::AcceptFailed => "accept_failed",
            Self::BadHead => "bad_head",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTimedOut => "head_timed_out",
            Self::WrongAddress => "wrong_address",
        }
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        if matches!(fault, Fault::TooLarge | Fault::TooManyFields) {
            Self::HeadTooLarge
        } else {
            Self::BadHead
        }
    }
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// The new policy is in force.
    Success,
    /// The last good policy stays in force.
    Failure,
}

impl ReloadOutcome {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// All metrics of the process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    process: Arc<Process>,
    requests: IntCounterVec,
    rule_hits: IntCounterVec,
    blocked_hosts: IntCounterVec,
    tunnel_bytes: IntCounterVec,
    http_bytes: IntCounterVec,
    tunnels_closed: IntCounterVec,
    rejected: IntCounterVec,
    reloads: IntCounterVec,
    last_reload_successful: IntGaugeVec,
    budgets: IntGaugeVec,
    budgets_spent: IntGaugeVec,
    dial: HistogramVec,
    upstream_failures: IntCounterVec,
    /// Seconds from the first attempt to a connected socket, without a parent.
    pub dial_seconds: Histogram,
    /// Seconds a request waited for its name's addresses.
    pub resolve_seconds: Histogram,
    /// Open tunnels.
    pub tunnels: IntGauge,
    /// Open client connections.
    pub connections: IntGauge,
    /// Unix time of the last reload that succeeded.
    pub last_reload: Gauge,
    /// Events that the log could not take in time.
    pub events_dropped_log: IntCounter,
    /// Events that a slow reader of `/events` lost.
    pub events_dropped_stream: IntCounter,
    /// Tasks that panicked.
    pub panics: IntCounter,
}

impl Metrics {
    /// Registers everything; known label combinations start at 0.
    ///
    /// # Errors
    /// Only if two metrics had one name, which a test excludes.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("agentnet_proxy".to_owned()), None)?;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let buckets = vec![
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ];
        let dial = HistogramVec::new(
            HistogramOpts::new("dial_seconds", "Time to connect upstream.")
                .buckets(buckets.clone()),
            &["route"],
        )?;
        registry.register(Box::new(dial.clone()))?;
        let resolve_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "resolve_seconds",
                "Time a request waited for its name's addresses.",
            )
            .buckets(buckets),
        )?;
        registry.register(Box::new(resolve_seconds.clone()))?;
        let last_reload = Gauge::new(
            "policy_last_reload_success_timestamp_seconds",
            "Unix time at which the policy in force was loaded.",
        )?;
        registry.register(Box::new(last_reload.clone()))?;
        let last_reload_successful = IntGaugeVec::new(
            Opts::new(
                "policy_last_reload_successful",
                "1 if the policy in force is what the files say; 0 if they cannot be used.",
            ),
            &["listener"],
        )?;
        registry.register(Box::new(last_reload_successful.clone()))?;
        let build = IntGaugeVec::new(
            Opts::new("build_info", "Always 1; the version is in the label."),
            &["version"],
        )?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let events_dropped = counters(
            "events_dropped_total",
            "Decision events lost because their reader was too slow or took none.",
            &["sink"],
        )?;
        let metrics = Self {
            requests: counters(
                "requests_total",
                "Requests by decision.",
                &["listener", "protocol", "verdict", "reason"],
            )?,
            rule_hits: counters(
                "rule_hits_total",
                "Requests that a line of the whitelist decided.",
                &["listener", "rule"],
            )?,
            blocked_hosts: counters(
                "blocked_hosts_total",
                "Refused requests by host; a bounded number of hosts, then `other`.",
                &["listener", "host"],
            )?,
            tunnel_bytes: counters(
                "tunnel_bytes_total",
                "Bytes that went through tunnels; up is away from the task.",
                &["listener", "direction"],
            )?,
            http_bytes: counters(
                "http_bytes_total",
                "Bytes of plain requests and responses that ended; up is away from the task.",
                &["listener", "direction"],
            )?,
            tunnels_closed: counters(
                "tunnels_closed_total",
                "Tunnels that ended, by what ended them.",
                &["listener", "reason"],
            )?,
            rejected: counters(
                "connections_rejected_total",
                "Connections that ended before a request was judged.",
                &["cause"],
            )?,
            reloads: counters(
                "policy_reloads_total",
                "Reloads of the policy.",
                &["outcome"],
            )?,
            last_reload_successful,
            budgets: gauges(
                "budget_bytes",
                "Bytes that may be sent under a line of the whitelist.",
                &["listener", "rule"],
            )?,
            budgets_spent: gauges(
                "budget_spent_bytes",
                "Bytes of a line's budget that are gone.",
                &["listener", "rule"],
            )?,
            dial_seconds: dial.with_label_values(&[DIRECT]),
            dial,
            upstream_failures: counters(
                "upstream_failures_total",
                "Attempts that a parent did not serve.",
                &["route"],
            )?,
            resolve_seconds,
            tunnels: gauge("tunnels", "Open tunnels.")?,
            connections: gauge("connections", "Open client connections.")?,
            last_reload,
            events_dropped_log: events_dropped.with_label_values(&["log"]),
            events_dropped_stream: events_dropped.with_label_values(&["stream"]),
            panics: counter("panics_total", "Tasks that panicked; each ended alone.")?,
            process: Arc::new(Process::new()?),
            registry,
        };
        for cause in Rejection::ALL {
            metrics.rejected(cause).inc_by(0);
        }
        for outcome in [ReloadOutcome::Success, ReloadOutcome::Failure] {
            metrics.reloads(outcome).inc_by(0);
        }
        Ok(metrics)
    }

    /// Seconds until a parent had connected, or had not.
    #[must_use]
    pub fn dial_seconds_by(&self, route: &str) -> Histogram {
        self.dial.with_label_values(&[route])
    }

    /// Starts the series of a route at 0.
    pub fn know_route(&self, route: &str) {
        self.dial.with_label_values(&[route]);
        self.upstream_failures(route).inc_by(0);
    }

    /// The counter of attempts that a parent did not serve.
    #[must_use]
    pub fn upstream_failures(&self, route: &str) -> IntCounter {
        self.upstream_failures.with_label_values(&[route])
    }

    /// The counter of one cause.
    #[must_use]
    pub fn rejected(&self, cause: Rejection) -> IntCounter {
        self.rejected.with_label_values(&[cause.as_str()])
    }

    /// The counter of one outcome.
    #[must_use]
    pub fn reloads(&self, outcome: ReloadOutcome) -> IntCounter {
        self.reloads.with_label_values(&[outcome.as_str()])
    }

    /// 1 while a listener's policy is what its files say.
    #[must_use]
    pub fn last_reload_successful(&self, listener: &str) -> IntGauge {
        self.last_reload_successful.with_label_values(&[listener])
    }

    /// The counter of a rule; `position` is its place in the policy.
    #[must_use]
    pub fn rule_hits(&self, listener: &str, position: usize, rule: &str) -> IntCounter {
        let label = if position < MAX_RULES { rule } else { OTHER };
        self.rule_hits.with_label_values(&[listener, label])
    }

    /// Drops the series of rules that are gone, so that reloads do not pile them up.
    pub fn forget_rule(&self, listener: &str, rule: &str) {
        let labels = [listener, rule];
        // Absent is fine: two rules can have had one text.
        self.rule_hits.remove_label_values(&labels).ok();
        self.budgets.remove_label_values(&labels).ok();
        self.budgets_spent.remove_label_values(&labels).ok();
    }

    /// Sets what may be sent under a rule, and what has been.
    pub fn budget(&self, listener: &str, rule: &str, state: State) {
        let labels = [listener, rule];
        let shown = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let limits = self.budgets.with_label_values(&labels);
        limits.set(shown(state.limit));
        let spent = self.budgets_spent.with_label_values(&labels);
        spent.set(shown(state.spent));
    }

    /// The exposition text, format 0.0.4.
    ///
    /// # Errors
    /// Never in practice: the encoder writes to memory.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::with_capacity(16 * 1024);
        let encoder = TextEncoder::new();
        encoder.encode(&self.registry.gather(), &mut text)?;
        encoder.encode(&self.process.gather(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_known_combinations_at_zero() {
        let metrics = Metrics::new().unwrap();
        let _listener = ListenerMetrics::new(&metrics, "default", 10);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        let expected = "agentnet_proxy_requests_total{listener=\"default\",protocol=\"connect\",\
                        reason=\"not_listed\",verdict=\"deny\"} 0";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("agentnet_proxy_policy_reloads_total{outcome=\"failure\"} 0"));
        assert!(text.contains("agentnet_proxy_dial_seconds_count{route=\"direct\"} 0"));
    }
}
