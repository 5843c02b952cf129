//! The monitoring rule pack: why alerts do not arrive, or do not tell the truth.

mod admission;
mod config;
mod line;
mod notify;
mod parts;
mod repair;
mod rules;
mod send;
mod target;
mod trouble;
mod watchdog;

use kwhy_sdk::{Descriptor, Rule, Signal, Subscription, Verdict, World};

/// The pack.
#[derive(Debug, Default)]
pub struct Monitoring;

kwhy_sdk::export!(Monitoring);

/// Names that kube-prometheus and others give to the alert that always fires. A rule hears of heartbeats only by their
/// full names.
const HEARTBEATS: [&str; 2] = ["Watchdog", "DeadMansSwitch"];

impl Rule for Monitoring {
    fn describe(&self) -> Descriptor {
        let book = |name: &str| format!("https://runbooks.prometheus-operator.dev/runbooks/{name}/");
        let any = "Prometheus 2 and 3, Alertmanager 0.20 and later";
        let alerts = [
            &trouble::RULES_ALERTS[..],
            &trouble::NOTIFY_ALERTS[..],
            &trouble::CONFIG_ALERTS[..],
            &send::ALERTS[..],
            &["TargetDown"],
        ]
        .concat();
        Descriptor::new("monitoring", env!("CARGO_PKG_VERSION"))
            .code(watchdog::CODE, "The Watchdog alert has fallen silent", any, &[&book("general/watchdog")])
            .code(
                target::CODE,
                "Targets cannot be scraped though their pods are well",
                any,
                &[&book("general/targetdown")],
            )
            .code(
                trouble::RULES,
                "Prometheus cannot evaluate rules",
                any,
                &[&book("prometheus/prometheusrulefailures")],
            )
            .code(
                trouble::NOTIFY,
                "Alertmanager cannot send notifications",
                any,
                &[&book("alertmanager/alertmanagerfailedtosendalerts")],
            )
            .code(
                trouble::CONFIG,
                "A changed configuration is refused",
                any,
                &[&book("prometheus/prometheusbadconfig"), &book("alertmanager/alertmanagerfailedreload")],
            )
            .wants(Subscription::alerts(&HEARTBEATS))
            .wants(Subscription::alerts(&alerts))
            .wants(line::wanted())
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let name = signal.name.as_str();
        match signal.source.as_str() {
            "timer" if name == trouble::LOOK => {
                Ok(signal.subject.as_ref().map(|w| trouble::look(world, w)).unwrap_or_default())
            }
            "timer" => Ok(name
                .strip_prefix(watchdog::BEAT)
                .map(|label| watchdog::due(world, label))
                .unwrap_or_default()),
            "alert" if HEARTBEATS.contains(&name) => Ok(watchdog::heard(world, signal)),
            "alert" if name == "TargetDown" => {
                Ok(signal.subject.as_ref().map(|s| target::judge(world, signal, s)).unwrap_or_default())
            }
            _ => {
                let Some(subject) = &signal.subject else { return Ok(Verdict::default()) };
                let mut verdict = trouble::judge(world, signal, subject);
                if send::ALERTS.contains(&name) && signal.state == "firing" {
                    verdict.merge(send::judge(world, signal, subject));
                }
                let fatal = [line::NO_SPACE, line::STORAGE, line::CONFIG, line::AM_CONFIG, line::SEND];
                if fatal.contains(&name) && subject.kind == "Pod" {
                    let part = parts::of(world, subject);
                    let programs = [parts::PROMETHEUS, parts::ALERTMANAGER];
                    if programs.iter().any(|p| parts::runs(world, subject, p)) {
                        verdict.merge(watchdog::told(world, &part));
                    }
                }
                Ok(verdict)
            }
        }
    }
}
