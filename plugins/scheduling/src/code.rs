//! The pack's codes.

pub(crate) const CPU: &str = "scheduling.insufficient-cpu";
pub(crate) const MEMORY: &str = "scheduling.insufficient-memory";
pub(crate) const RESOURCE: &str = "scheduling.insufficient-resource";
pub(crate) const TAINT: &str = "scheduling.taint-untolerated";
pub(crate) const SELECTOR: &str = "scheduling.selector-or-affinity-unsatisfiable";
pub(crate) const SPREAD: &str = "scheduling.topology-spread";
pub(crate) const HOST_PORT: &str = "scheduling.host-port-conflict";
pub(crate) const CORDONED: &str = "scheduling.cordoned";
pub(crate) const TOO_MANY_PODS: &str = "scheduling.too-many-pods";

pub(crate) const ALL: [&str; 9] =
    [CPU, MEMORY, RESOURCE, TAINT, SELECTOR, SPREAD, HOST_PORT, CORDONED, TOO_MANY_PODS];

/// The code for a resource that lacks.
pub(crate) fn of(resource: &str) -> &'static str {
    match resource {
        "cpu" => CPU,
        "memory" => MEMORY,
        _ => RESOURCE,
    }
}
