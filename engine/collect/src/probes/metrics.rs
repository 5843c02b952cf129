//! Figures in the text format of Prometheus, read off when somebody scrapes.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{EngineFigures, Vitals};

/// The `Content-Type` of a page.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// All figures at `now`, ms since the Unix epoch.
pub(crate) fn page(vitals: &Vitals, now: u64) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("kwhy");
    registry.register_collector(Box::new(Shown { vitals: vitals.clone(), now }));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Shown {
    vitals: Vitals,
    now: u64,
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let version = [([("version", env!("CARGO_PKG_VERSION"))], Gauge::new(1.0))];
        gauges(&mut encoder, "build_info", "Always 1; which kwhy this is", version)?;
        self.watches(&mut encoder)?;
        self.logs(&mut encoder)?;
        self.engine(&mut encoder)?;
        self.publishing(&mut encoder)
    }
}

type Gauge = ConstGauge<f64>;

impl Shown {
    fn watches(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.vitals.kube.as_ref().map(|kube| kube.watches.all()).unwrap_or_default();
        let each = || {
            all.iter().map(|(kind, progress)| {
                ([("api", kind.api_version()), ("kind", kind.kind.to_string())], progress)
            })
        };
        let gauge = |value: f64| Gauge::new(value);
        gauges(
            encoder,
            "watch_up",
            "Whether this kind is being watched; 0 while it is listed or cannot be read",
            each().map(|(labels, p)| (labels, gauge(f64::from(u8::from(p.watching))))),
        )?;
        gauges(
            encoder,
            "watch_age_seconds",
            "Since when the API server has said nothing of this kind; below 300 also where nothing happens",
            each().filter_map(|(labels, p)| Some((labels, gauge(seconds(p.age(self.now)?))))),
        )?;
        gauges(
            encoder,
            "watch_objects",
            "Objects of this kind that are there; 0 for Events",
            each().map(|(labels, p)| (labels, gauge(p.objects as f64))),
        )?;
        counters(
            encoder,
            "watch_lists",
            "Complete lists of this kind",
            each().map(|(labels, p)| (labels, p.lists)),
        )?;
        counters(
            encoder,
            "watch_gaps",
            "How often changes of this kind may have been missed",
            each().map(|(labels, p)| (labels, p.gaps)),
        )
    }

    fn logs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let reading = self.vitals.logs.as_ref().map(|logs| &logs.reading);
        let none: [(&str, &str); 0] = [];
        counters(
            encoder,
            "log_lines_dropped",
            "Lines of this node's logs above lines_per_second",
            reading.map(|reading| (none, reading.dropped())),
        )?;
        counters(
            encoder,
            "log_gaps",
            "How often lines of this node's logs were lost, for whatever reason",
            reading.map(|reading| (none, reading.gaps())),
        )
    }

    fn engine(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(engine) = &self.vitals.engine else { return Ok(()) };
        let EngineFigures { owner, taken_in, behind, waiting, committed, age, revisions } = engine.figures();
        let none: [(&str, &str); 0] = [];
        let mut gauge =
            |name: &str, help: &str, value: f64| gauges(encoder, name, help, [(none, Gauge::new(value))]);
        gauge(
            "engine_owner",
            "Whether this process stores the findings; 0 while it stands by",
            f64::from(u8::from(owner)),
        )?;
        gauge(
            "engine_position",
            "Sequence in KWHY_IN of the message that was taken in last",
            taken_in as f64,
        )?;
        gauge("engine_lag_messages", "Messages of KWHY_IN that follow that one", behind as f64)?;
        gauge(
            "engine_lag_seconds",
            "How long the oldest of these has been waiting; 0 where all are taken in",
            waiting.as_secs_f64(),
        )?;
        gauge(
            "commit_position",
            "Sequence in KWHY_IN up to which findings are stored, by whichever process",
            committed as f64,
        )?;
        gauge(
            "commit_age_seconds",
            "Since when no checkpoint has been stored, by whichever process; below 3 where all is well",
            age.as_secs_f64(),
        )?;
        counters(
            encoder,
            "revisions_stored",
            "Finding revisions that this process has stored",
            [(none, revisions)],
        )
    }

    fn publishing(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let each = || self.vitals.outgoing().map(|(what, outgoing)| ([("what", what)], outgoing.figures()));
        counters(
            encoder,
            "signals_published",
            "Signals that NATS has acknowledged; a log line is one",
            each().map(|(labels, figures)| (labels, figures.signals)),
        )?;
        counters(
            encoder,
            "signals_too_large",
            "Messages that NATS does not take, which are missing",
            each().map(|(labels, figures)| (labels, figures.too_large)),
        )?;
        gauges(
            encoder,
            "publish_lag_seconds",
            "How old the newest signal was when NATS acknowledged it last",
            each().filter_map(|(labels, figures)| Some((labels, Gauge::new(seconds(figures.lag?))))),
        )?;
        gauges(
            encoder,
            "publish_waiting_seconds",
            "How long NATS has owed an acknowledgement; 0 where it owes none",
            each().map(|(labels, figures)| {
                (labels, Gauge::new(figures.waiting.unwrap_or_default().as_secs_f64()))
            }),
        )
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    each: impl IntoIterator<Item = (L, Gauge)>,
) -> fmt::Result {
    family(encoder, name, help, MetricType::Gauge, each)
}

/// `name` without the `_total` that the format adds.
fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    each: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let each = each.into_iter().map(|(labels, count)| (labels, ConstCounter::new(count)));
    family(encoder, name, help, MetricType::Counter, each)
}

/// One metric with all its labels; nothing where there are none.
fn family<L: EncodeLabelSet, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    sort: MetricType,
    each: impl IntoIterator<Item = (L, M)>,
) -> fmt::Result {
    let mut each = each.into_iter().peekable();
    if each.peek().is_none() {
        return Ok(());
    }
    let mut metric = encoder.encode_descriptor(name, help, None, sort)?;
    for (labels, value) in each {
        value.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
