//! What the bridge counts, on a registry of its own. `docs/metrics.md` lists all of it, and a test
//! compares the two.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::notice::{NoticeKind, Side};

/// Why files are refused: every word that a refusal has.
const REFUSALS: [&str; 13] = [
    "bad_name",
    "unreadable",
    "not_a_file",
    "linked",
    "too_long",
    "not_an_alert",
    "version",
    "kind",
    "forged_blocked",
    "empty",
    "choices",
    "stuck",
    "queue_full",
];

/// How an outlet ended with a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Shown.
    Shown,
    /// The outlet refused it, or nobody knows whether it was shown; not tried again.
    Failed,
    /// An attempt that is repeated.
    Retried,
    /// The bridge died while it was being shown.
    Unconfirmed,
    /// Too old, or one too many.
    Dropped,
}

impl Ended {
    const ALL: [Self; 5] = [
        Self::Shown,
        Self::Failed,
        Self::Retried,
        Self::Unconfirmed,
        Self::Dropped,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Unconfirmed => "unconfirmed",
            Self::Dropped => "dropped",
        }
    }
}

/// What became of a click.
const ANSWERS: [&str; 3] = ["done", "failed", "stale"];

/// Every metric.
pub(crate) struct Metrics {
    registry: Registry,
    alerts: IntCounterVec,
    refused: IntCounterVec,
    folded: IntCounterVec,
    notices: IntCounterVec,
    show_seconds: HistogramVec,
    answers: IntCounterVec,
    waiting: IntGaugeVec,
    open: IntGauge,
    spools: IntGauge,
    trouble: Mutex<Option<String>>,
    /// Counted up whenever something changes.
    changes: AtomicU64,
}

impl Metrics {
    /// Known combinations start at 0.
    ///
    /// # Errors
    /// Never: the names are ours and right.
    pub(crate) fn new(outlets: &[String]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("agentnet_notify".to_owned()), None)?;
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let alerts = counter("alerts_total", "Alerts taken.", &["side", "kind"])?;
        let refused = counter(
            "refused_total",
            "Names in spools that were no alert.",
            &["reason"],
        )?;
        let folded = counter("folded_total", "Alerts told of together.", &["side"])?;
        let notices = counter(
            "notices_total",
            "Notices by outlet.",
            &["outlet", "outcome"],
        )?;
        let answers = counter("answers_total", "Clicks.", &["kind", "outcome"])?;
        let waiting = IntGaugeVec::new(
            Opts::new("waiting", "Notices that wait for an outlet."),
            &["outlet"],
        )?;
        registry.register(Box::new(waiting.clone()))?;
        let buckets = vec![0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 60.0];
        let show_seconds = HistogramVec::new(
            HistogramOpts::new("show_seconds", "Time an outlet took to show a notice.")
                .buckets(buckets),
            &["outlet"],
        )?;
        registry.register(Box::new(show_seconds.clone()))?;
        let build = IntGaugeVec::new(Opts::new("build_info", "Always 1."), &["version"])?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            alerts,
            refused,
            folded,
            notices,
            show_seconds,
            answers,
            waiting,
            open: gauge("open", "Notices that wait for a click.")?,
            spools: gauge("spools", "Spool directories that are watched.")?,
            trouble: Mutex::new(None),
            changes: AtomicU64::new(1),
            registry,
        };
        metrics.begin(outlets);
        Ok(metrics)
    }

    fn begin(&self, outlets: &[String]) {
        for side in [Side::Agent, Side::Own, Side::Proxy] {
            self.folded.with_label_values(&[side.as_str()]);
            for kind in NoticeKind::ALL {
                let is_proxys = *kind == NoticeKind::Blocked;
                if is_proxys == (side == Side::Proxy) {
                    self.alerts
                        .with_label_values(&[side.as_str(), kind.as_str()]);
                }
            }
        }
        for reason in REFUSALS {
            self.refused.with_label_values(&[reason]);
        }
        for kind in [NoticeKind::Clarification, NoticeKind::Blocked] {
            for outcome in ANSWERS {
                self.answers.with_label_values(&[kind.as_str(), outcome]);
            }
        }
        for outlet in outlets {
            self.waiting.with_label_values(&[outlet]);
            self.show_seconds.with_label_values(&[outlet]);
            for ended in Ended::ALL {
                self.notices.with_label_values(&[outlet, ended.as_str()]);
            }
        }
    }

    /// An alert was read and is worth telling.
    pub(crate) fn taken(&self, side: Side, kind: NoticeKind) {
        self.changed();
        let labels = [side.as_str(), kind.as_str()];
        self.alerts.with_label_values(&labels).inc();
    }

    /// Names that were no alert, by the word of the refusal.
    pub(crate) fn refused(&self, reason: &str, count: u64) {
        if count > 0 {
            self.changed();
            self.refused.with_label_values(&[reason]).inc_by(count);
        }
    }

    /// Alerts that are told of together.
    pub(crate) fn folded(&self, side: Side, count: u64) {
        self.changed();
        self.folded
            .with_label_values(&[side.as_str()])
            .inc_by(count);
    }

    /// An outlet ended with a notice.
    pub(crate) fn notice(&self, outlet: &str, ended: Ended) {
        self.changed();
        let labels = [outlet, ended.as_str()];
        self.notices.with_label_values(&labels).inc();
    }

    /// How long it took.
    pub(crate) fn took(&self, outlet: &str, time: Duration) {
        self.show_seconds
            .with_label_values(&[outlet])
            .observe(time.as_secs_f64());
    }

    /// A click: `done`, `failed`, or `stale` where nothing is open for it.
    pub(crate) fn answered(&self, kind: NoticeKind, outcome: &'static str) {
        self.changed();
        self.answers
            .with_label_values(&[kind.as_str(), outcome])
            .inc();
    }

    /// How many notices wait for an outlet.
    pub(crate) fn waiting(&self, outlet: &str, count: usize) {
        self.set(&self.waiting.with_label_values(&[outlet]), count);
    }

    /// How many wait for a click.
    pub(crate) fn open(&self, count: usize) {
        self.set(&self.open, count);
    }

    /// How many spools are watched.
    pub(crate) fn spools(&self, count: usize) {
        self.set(&self.spools, count);
    }

    fn set(&self, gauge: &IntGauge, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if gauge.get() != count {
            self.changed();
            gauge.set(count);
        }
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// A figure that is another one after anything changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// As [`Metrics::spools`] was told.
    pub(crate) fn spool_count(&self) -> u64 {
        u64::try_from(self.spools.get()).unwrap_or(0)
    }

    /// Something that a person should mend, on standard error. The same again is not said again.
    pub(crate) fn trouble(&self, what: &str) {
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() != Some(what) {
            let shown = crate::text::line(what, 500);
            // Where standard error is gone there is nobody to tell.
            drop(writeln!(std::io::stderr(), "agentnet-notify: {shown}"));
            *last = Some(what.to_owned());
            self.changed();
        }
    }

    /// What was last said by [`Metrics::trouble`].
    pub(crate) fn last_trouble(&self) -> Option<String> {
        let last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }

    /// All counters of one metric by their labels' values, for `status`.
    pub(crate) fn counts(&self, name: &str) -> Vec<(Vec<String>, u64)> {
        let families = self.registry.gather();
        let full = format!("agentnet_notify_{name}");
        let family = families.iter().filter(|family| family.name() == full);
        family
            .flat_map(prometheus::proto::MetricFamily::get_metric)
            .map(|metric| {
                let labels = metric.get_label().iter();
                let labels = labels.map(|label| label.value().to_owned()).collect();
                (labels, metric.get_counter().get_value() as u64)
            })
            .collect()
    }

    /// The text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}
