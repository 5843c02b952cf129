//! The components that can hide their metrics: what they are called, in alerts and by what they run, and which setting
//! says where they listen.

use kwhy_sdk::{Json, Signal, command_line, image_name};

/// A component of Kubernetes that serves metrics on a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Component {
    Proxy,
    Scheduler,
    ControllerManager,
    Etcd,
}

impl Component {
    pub(crate) const ALL: [Self; 4] = [Self::Proxy, Self::Scheduler, Self::ControllerManager, Self::Etcd];

    /// What its program is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proxy => "kube-proxy",
            Self::Scheduler => "kube-scheduler",
            Self::ControllerManager => "kube-controller-manager",
            Self::Etcd => "etcd",
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }

    /// The flag that says where it serves metrics.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Proxy => "metrics-bind-address",
            Self::Scheduler | Self::ControllerManager => "bind-address",
            Self::Etcd => "listen-metrics-urls",
        }
    }

    /// The port that metrics are served on unless another one is set.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Proxy => 10249,
            Self::Scheduler => 10259,
            Self::ControllerManager => 10257,
            Self::Etcd => 2381,
        }
    }

    /// What it does, which goes on while its metrics cannot be read.
    pub(crate) fn work(self) -> &'static str {
        match self {
            Self::Proxy => "Services work as before",
            Self::Scheduler => "pods are scheduled as before",
            Self::ControllerManager => "controllers work as before",
            Self::Etcd => "the API server reads and writes as before",
        }
    }

    /// Globs over the alerts that speak of this component alone and say that nothing was scraped.
    pub(crate) fn own_alerts(self) -> &'static [&'static str] {
        match self {
            Self::Proxy => &["KubeProxyDown", "KubeProxyInstanceUnreachable"],
            Self::Scheduler => &["KubeSchedulerDown", "KubeSchedulerInstanceUnreachable"],
            Self::ControllerManager => {
                &["KubeControllerManagerDown", "KubeControllerManagerInstanceUnreachable"]
            }
            Self::Etcd => &["etcdMembersDown", "etcdInsufficientMembers"],
        }
    }

    /// Which component an alert says cannot be scraped. Alerts for all targets name theirs by job or Service; charts
    /// put a prefix or suffix to it.
    pub(crate) fn of_alert(alert: &Signal) -> Option<Self> {
        let own = Self::ALL.into_iter().find(|c| c.own_alerts().contains(&alert.name.as_str()));
        if own.is_some() {
            return own;
        }
        let general = alert.name == "TargetDown" || alert.name.starts_with("Prometheus");
        let named = |label: &str, c: &Self| {
            let value = alert.field(label);
            // `serviceMonitor/monitoring/etcd-backup/0` is not etcd, `kube-etcd` and `etcd` are.
            let last = value.rsplit('/').next().unwrap_or(value);
            match c {
                Self::Etcd => last == "etcd" || last.ends_with("-etcd") || last.ends_with("-etcd-metrics"),
                _ => last.contains(c.name()),
            }
        };
        let by = |label: &str| Self::ALL.into_iter().find(|c| named(label, c));
        if general { by("job").or_else(|| by("service")).or_else(|| by("container")) } else { None }
    }

    /// Whether a container runs it: by its image, else by the program of its command line (hyperkube, RKE2 and
    /// distributions that put all programs into one image).
    pub(crate) fn runs_in(self, container: &Json) -> bool {
        let image = image_name(container.text("/image"));
        let program = |word: &String| word.rsplit('/').next() == Some(self.name());
        // `kube-proxy-amd64`, `etcd-arm64`: images of old carried the architecture.
        let by_image = image == self.name()
            || image.strip_prefix(self.name()).is_some_and(|rest| {
                matches!(rest, "-amd64" | "-arm64" | "-arm" | "-ppc64le" | "-s390x" | "-minimal")
            });
        by_image || command_line(container).iter().take(3).any(program)
    }

    /// Whether a pod of that name may run it; what it runs is looked at only then. A static pod is called after its
    /// manifest and its node.
    pub(crate) fn may_run(self, pod: &str) -> bool {
        pod.contains(match self {
            Self::Proxy => "proxy",
            Self::Scheduler => "scheduler",
            Self::ControllerManager => "controller-manager",
            Self::Etcd => "etcd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwhy_sdk::Field;
    use serde_json::json;

    fn alert(name: &str, labels: &[(&str, &str)]) -> Option<Component> {
        let field = |(n, v): &(&str, &str)| Field { name: (*n).into(), value: (*v).into() };
        let fields = labels.iter().map(field).collect();
        Component::of_alert(&Signal { name: name.into(), fields, ..Signal::default() })
    }

    #[test]
    fn an_alert_names_its_component_by_its_name_its_job_or_its_service() {
        assert_eq!(alert("KubeProxyDown", &[]), Some(Component::Proxy));
        assert_eq!(alert("KubeSchedulerInstanceUnreachable", &[("job", "x")]), Some(Component::Scheduler));
        assert_eq!(
            alert("TargetDown", &[("job", "kube-controller-manager")]),
            Some(Component::ControllerManager)
        );
        assert_eq!(alert("TargetDown", &[("job", "kube-etcd")]), Some(Component::Etcd));
        assert_eq!(
            alert("TargetDown", &[("job", "x"), ("service", "stack-kube-proxy")]),
            Some(Component::Proxy)
        );
        assert_eq!(alert("TargetDown", &[("job", "coredns")]), None);
        assert_eq!(alert("TargetDown", &[("job", "etcd-backup")]), None);
        assert_eq!(
            alert("etcdNoLeader", &[("job", "kube-etcd")]),
            None,
            "that one needs metrics that were read"
        );
    }

    #[test]
    fn a_container_is_told_by_its_image_or_its_program() {
        let is = |json| Component::Proxy.runs_in(&Json::new(json));
        assert!(is(json!({"image": "registry.k8s.io/kube-proxy:v1.29.2"})));
        assert!(is(json!({"image": "k8s.gcr.io/kube-proxy-amd64:v1.11.0"})));
        assert!(is(json!({"image": "rancher/hardened-kubernetes:v1.28", "command": ["kube-proxy"]})));
        assert!(is(json!({"image": "gke.gcr.io/x:1", "command": ["/bin/sh", "-c", "kube-proxy --v=2"]})));
        assert!(!is(json!({"image": "envoyproxy/envoy:v1.29"})));
        assert!(!is(json!({"image": "quay.io/brancz/kube-rbac-proxy:v0.15"})));
        assert!(!is(json!({"image": "example/kube-proxy-exporter:1"})));
    }
}
