//! What to type so that a Prometheus starts again: a larger volume, more memory, a storage that can be opened.

use kwhy_sdk::{ObjectRef, Remedy, World};

use crate::parts::{self, Part};

/// What helps a storage that cannot be opened.
pub(crate) fn storage_mended(part: &Part, why: &str) -> Option<Remedy> {
    let (ns, workload) = (&part.workload.namespace, &part.workload);
    let kind = workload.kind.to_ascii_lowercase();
    let stop = format!(
        "kubectl -n {ns} scale {kind} {} --replicas=0     # with an operator: set replicas in its object",
        workload.name
    );
    if why.contains("lock DB directory") {
        return Some(
            Remedy::new("let one Prometheus alone use the volume: another one still holds its lock")
                .command(format!("kubectl -n {ns} get pods -o wide | grep {}", workload.name)),
        );
    }
    let wal = ["WAL", "wal", "chunks_head", "checkpoint"].iter().any(|w| why.contains(w));
    wal.then(|| {
        Remedy::new("take the broken write-ahead log aside, from a pod that mounts the volume (mv wal wal.broken), and look at the disk under it")
            .command(stop)
            .caution("what was measured since the last block, two to three hours, is lost")
    })
}

/// Raise the limit where it is written.
pub(crate) fn more_memory(world: &World<'_>, part: &Part, limit: &str) -> Remedy {
    let (ns, workload) = (&part.workload.namespace, &part.workload);
    let raise = Remedy::new(format!(
        "raise the memory limit of Prometheus{}, or let it hold fewer series (drop metrics, scrape less often)",
        if limit.is_empty() { String::new() } else { format!(" beyond {limit}") }
    ));
    match world.owners(workload).into_iter().find(|o| o.kind == "Prometheus") {
        Some(owner) => raise.command(format!(
            "kubectl -n {ns} patch prometheus {} --type merge -p '{{\"spec\":{{\"resources\":{{\"limits\":{{\"memory\":\"<more than {limit}>\"}}}}}}}}'",
            owner.name
        )),
        None => raise.command(format!(
            "kubectl -n {ns} set resources {} {} -c {} --limits=memory=<more than {limit}>",
            workload.kind.to_ascii_lowercase(),
            workload.name,
            parts::container(world, part, parts::PROMETHEUS)
        )),
    }
}

/// The pod is down, so the volume can only be enlarged, or freed by other hands.
pub(crate) fn enlarge(world: &World<'_>, part: &Part, claim: &ObjectRef, size: &str) -> Vec<Remedy> {
    let ns = &claim.namespace;
    let class = world.read(claim, "/spec/storageClassName").unwrap_or_default();
    let class = class.text("").to_owned();
    let expands = world
        .read(&ObjectRef::new("StorageClass", "", &class), "/allowVolumeExpansion")
        .is_some_and(|a| a.is_true(""));
    let owner = world.owners(&part.workload).into_iter().find(|o| o.kind == "Prometheus");
    let mut grow = Remedy::new(format!("enlarge the volume beyond {size}"))
        .command(format!("kubectl -n {ns} patch pvc {} -p '{{\"spec\":{{\"resources\":{{\"requests\":{{\"storage\":\"<more than {size}>\"}}}}}}}}'", claim.name));
    if !expands {
        grow = grow.caution(format!(
            "StorageClass {class} does not say allowVolumeExpansion: the patch is refused unless it does"
        ));
    }
    let mut limit =
        Remedy::new("and limit what it keeps to 85 % of the volume, so that it does not come again");
    limit = match owner {
        Some(owner) => limit.command(format!("kubectl -n {ns} patch prometheus {} --type merge -p '{{\"spec\":{{\"retentionSize\":\"<85 % of {size}>\"}}}}'", owner.name)),
        None => limit.command("# --storage.tsdb.retention.size=<85 % of the volume> among the arguments of Prometheus"),
    };
    let free = Remedy::new("or free space from a pod that mounts the volume: the oldest blocks are the directories with the smallest names")
        .command(format!("kubectl -n {ns} scale {} {} --replicas=0     # with an operator: set replicas in its object", part.workload.kind.to_ascii_lowercase(), part.workload.name))
        .caution("what is removed is lost from the history of measurements");
    vec![grow, limit, free]
}
