//! An API of metrics that is away, with who serves it: all autoscalers that count by it have one cause.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Step, World, hours};

use crate::{
    hpa::{CODE, explains},
    service,
    words::{kubectl, named, short, spoken},
};

/// Most autoscalers that are named one by one.
const MANY: usize = 50;

/// Who serves a metrics API that is away.
pub(crate) enum Server {
    /// The workload behind it has no ready pod.
    Down { of: ObjectRef, workload: ObjectRef },
    /// The API server cannot use it all the same, and says why.
    Refused { of: ObjectRef, service: ObjectRef, why: String },
}

impl Server {
    pub(crate) fn of(world: &World<'_>, api: &str) -> Option<Self> {
        let ends = format!(".{api}");
        let of = world.list("APIService", "").into_iter().find(|a| a.name.ends_with(&ends))?;
        let service = world.read(&of, "/spec/service")?;
        let service = ObjectRef::new("Service", service.text("/namespace"), service.text("/name"));
        if let Some(down) = service::backend(world, &service).filter(|b| !b.ready) {
            return Some(Self::Down { of, workload: down.workload });
        }
        let available = world.condition(&of, "Available");
        available.fails().then(|| Self::Refused { of, service, why: available.message.clone() })
    }

    fn says(&self, api: &str) -> String {
        match self {
            Self::Down { workload, .. } => {
                format!("{}, which serves {api}, has no ready pod", spoken(workload))
            }
            Self::Refused { service, why, .. } => format!(
                "the API server gets nothing from {}, which serves {api}, although its pods are ready: {}",
                spoken(service),
                short(why, 300)
            ),
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            Self::Down { workload, .. } => Remedy::new(format!("bring {} back", spoken(workload))).command(format!(
                "{} describe {}",
                kubectl(&workload.namespace),
                named(workload)
            )),
            Self::Refused { of, service, why } if why.contains("x509: ") => Remedy::new(
                "let caBundle of the APIService be the authority that signed what the server shows: whoever makes its certificates (the chart, cert-manager, the operator) writes both",
            )
            .command(format!("kubectl get apiservice {} -o jsonpath='{{.spec.caBundle}}' | base64 -d | openssl x509 -noout -subject -enddate", of.name))
            .command(format!("{} get endpoints {}", kubectl(&service.namespace), service.name)),
            Self::Refused { of, service, .. } => {
                Remedy::new("see what stands between the API server and the pods: network policy, firewall, proxy, port")
                    .command(format!("kubectl get apiservice {} -o yaml", of.name))
                    .command(format!("{} get endpoints {}", kubectl(&service.namespace), service.name))
            }
        }
    }

    fn root(&self) -> &ObjectRef {
        match self {
            Self::Down { workload, .. } => workload,
            Self::Refused { of, .. } => of,
        }
    }

    fn api(&self) -> &ObjectRef {
        match self {
            Self::Down { of, .. } | Self::Refused { of, .. } => of,
        }
    }

    fn evidence(&self) -> Evidence {
        match self {
            Self::Down { workload, .. } => {
                Evidence::object(workload, "no ready pod", 40, "serves the metrics")
            }
            Self::Refused { of, why, .. } => Evidence::object(
                of,
                format!("Available=False: {why}"),
                60,
                "why the API server does not use it",
            ),
        }
    }
}

/// Autoscalers that count by metrics of that API.
fn counting_by(world: &World<'_>, api: &str) -> Vec<ObjectRef> {
    let kinds: &[&str] = if api == "external.metrics.k8s.io" { &["External"] } else { &["Pods", "Object"] };
    let counts = |hpa: &ObjectRef| {
        let metrics = world.read(hpa, "/spec/metrics").unwrap_or_default().list("");
        metrics.iter().any(|m| kinds.contains(&m.text("/type")))
    };
    world.list("HorizontalPodAutoscaler", "").into_iter().filter(counts).take(MANY).collect()
}

/// The finding about it. Nothing of it depends on which autoscaler complains just now, but that one is among them.
pub(crate) fn diagnose(world: &World<'_>, hpa: &ObjectRef, server: &Server, api: &str) -> Diagnosis {
    let mut all = counting_by(world, api);
    if !all.iter().any(|known| known.is(hpa)) {
        all.push(hpa.clone());
    }
    let root = server.root();
    let mut d = Diagnosis::new(CODE, root.clone());
    d.confidence = 80;
    d.title = format!("Autoscalers cannot scale: {api} does not answer");
    let who: Vec<String> = all.iter().take(3).map(spoken).collect();
    let more = if all.len() > 3 { format!(" and {} more", all.len() - 3) } else { String::new() };
    d.explanation = format!("{}{more} cannot read a metric: {}.", who.join(", "), server.says(api));
    d.evidence.push(server.evidence());
    d.path.push(Step::new(root, "", "does not answer"));
    for hpa in all.iter().take(3) {
        d.path.push(Step::new(hpa, "", "cannot count"));
        let said = world.about(hpa, "self", "event", "FailedGet*", world.ago(hours(1)), 1);
        d.evidence.extend(said.iter().map(|event| crate::counted(event, 40, "what the autoscaler says")));
    }
    d.explains.push(Explains::alert("*AggregatedAPI*", server.api(), "self"));
    d.explains.extend(all.iter().flat_map(|hpa| explains(world, hpa)));
    d.remedies.push(server.remedy());
    d
}
