//! A registry that runs in the cluster itself: images do not come because its own pods are not ready.

use kwhy_sdk::{Diagnosis, ObjectRef, Signal, World};

use crate::{pod::Pod, service};

/// The workload behind the registry `host`, where none of its pods is ready; `event` says that a pull fails.
pub(crate) fn down(world: &World<'_>, pod: &Pod, host: &str, event: &Signal) -> Option<Diagnosis> {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let service = service::service_of(world, name, &pod.id.namespace)
        .or_else(|| on_nodes(world, name, port))
        .or_else(|| behind_ingress(world, name))?;
    let behind = service::backend(world, &service)?;
    if behind.ready || behind.workload.is(&pod.workload) {
        return None;
    }
    Some(service::needed(world, service::down(world, &service, &behind.workload), pod, event))
}

/// A port that each node has open for a Service, as kubelets reach registries that their name server does not know.
fn on_nodes(world: &World<'_>, name: &str, port: &str) -> Option<ObjectRef> {
    if name != "localhost" && !name.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let port: i64 = port.parse().ok()?;
    let open = |service: &ObjectRef| {
        world
            .read(service, "/spec/ports")
            .is_some_and(|ports| ports.list("").iter().any(|p| p.number("/nodePort") == port))
    };
    world.list("Service", "").into_iter().find(open)
}

fn behind_ingress(world: &World<'_>, name: &str) -> Option<ObjectRef> {
    world.list("Ingress", "").into_iter().find_map(|ingress| {
        let rules = world.read(&ingress, "/spec/rules")?.list("");
        let rule = rules.iter().find(|rule| rule.text("/host") == name)?;
        let paths = rule.list("/http/paths");
        let backend = paths.first()?.text("/backend/service/name");
        (!backend.is_empty()).then(|| ObjectRef::new("Service", &ingress.namespace, backend))
    })
}
