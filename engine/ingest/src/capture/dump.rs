//! Tells by the names of the files whether they are a dump of one of the known tools, and where in the folder it is.
//!
//! Tools put a folder around what they collect, or two (`must-gather.local.1/IMAGE/`), and archives of them often a
//! further one. What these are called means nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{inventory::Kind, layout::Layout};

/// How many folders may stand around a dump.
pub(super) const AROUND: usize = 4;
/// How deep files of a dump lie below its root, at most.
pub(super) const DEEP: usize = 8;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// No dump.
    None,
    /// Several dumps that do not belong together, by the folders they are in.
    Several(Vec<String>),
    /// A dump, and the folders in which it is: several where a must-gather was made with several images.
    Dump(Layout, Vec<String>),
}

/// Whether the file may be one of a dump.
pub(super) fn possible(name: &str) -> bool {
    Layout::ALL.iter().any(|layout| below(name).any(|(_, path)| layout.kind(&path).is_some()))
}

/// The folders that may be the root, and the path below each.
fn below(name: &str) -> impl Iterator<Item = (String, Vec<&str>)> {
    let parts: Vec<&str> = unpacked(name).split('/').collect();
    let deepest = AROUND.min(parts.len().saturating_sub(1));
    (0..=deepest).filter_map(move |depth| {
        let (root, path) = parts.split_at_checked(depth)?;
        Some((root.join("/"), path.to_vec()))
    })
}

fn unpacked(name: &str) -> &str {
    name.strip_suffix(".gz").unwrap_or(name)
}

/// Which dump the files are.
pub(super) fn tell<'n>(names: impl Iterator<Item = &'n str>) -> Told {
    // How many files of each root: what is of the cluster, what of namespaces.
    let mut marks: BTreeMap<Layout, BTreeMap<String, [bool; 2]>> = BTreeMap::new();
    for name in names {
        for layout in Layout::ALL {
            for (root, path) in below(name) {
                let Some(kind) = layout.kind(&path) else { continue };
                // The logs of a node alone are no dump.
                if !matches!(kind, Kind::Kubelet { .. })
                    && let [cluster, namespace] = marks.entry(layout).or_default().entry(root).or_default()
                {
                    *if path.len() == 1 { cluster } else { namespace } = true;
                }
            }
        }
    }
    for (layout, mut roots) in marks {
        if layout == Layout::ClusterDump {
            // nodes.json is written first, whatever was asked for; other folders have a pods.json, too.
            roots.retain(|_, marks| *marks == [true, true]);
        }
        if layout != Layout::MustGather {
            let depth = |root: &String| root.split('/').filter(|part| !part.is_empty()).count();
            let least = roots.keys().map(depth).min();
            roots.retain(|root, _| Some(depth(root)) == least);
        }
        let roots: Vec<String> = roots.into_keys().collect();
        match roots.len() {
            0 => {}
            1 => return Told::Dump(layout, roots),
            _ if layout == Layout::MustGather => return Told::Dump(layout, roots),
            _ => return Told::Several(roots),
        }
    }
    Told::None
}

/// The files of a dump: the file's name, its name below the root, and what it holds. What only repeats another file is
/// left out.
pub(super) fn files<'n>(
    layout: Layout,
    roots: &[String],
    names: impl Iterator<Item = &'n str>,
) -> Vec<(&'n str, &'n str, Kind)> {
    let mut files = Vec::new();
    let mut known = BTreeSet::new();
    for name in names {
        let known_as = roots.iter().find_map(|root| {
            let inside = match root.as_str() {
                "" => name,
                root => name.strip_prefix(root)?.strip_prefix('/')?,
            };
            let inside = unpacked(inside);
            let path: Vec<&str> = inside.split('/').collect();
            Some((name, inside, layout.kind(&path)?))
        });
        if let Some(file) = known_as {
            known.insert(name);
            files.push(file);
        }
    }
    files.retain(|(name, inside, kind)| match kind {
        // namespaces/NS/pods/POD/POD.yaml beside namespaces/NS/core/pods.yaml.
        Kind::Spare { in_file, .. } => {
            let namespace =
                name.len() - inside.len() + inside.match_indices('/').nth(1).map_or(0, |(at, _)| at);
            let whole = format!("{}/{in_file}", name.get(..namespace).unwrap_or_default());
            !known.contains(whole.as_str())
        }
        _ => true,
    });
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> Told {
        tell(names.iter().copied())
    }

    #[test]
    fn a_dump_is_told_whatever_the_folders_around_it_are_called() {
        let one = |layout, root: &str| Told::Dump(layout, vec![root.to_owned()]);
        assert_eq!(told(&["nodes.json", "ns/pods.json"]), one(Layout::ClusterDump, ""));
        assert_eq!(told(&["a/b/nodes.yaml", "a/b/ns/events.yaml"]), one(Layout::ClusterDump, "a/b"));
        assert_eq!(told(&["x/cluster-resources/pods/ns.json"]), one(Layout::SupportBundle, "x"));
        assert_eq!(
            told(&["x/cluster-resources/nodes.json", "x/cluster-resources/pods/pods.json"]),
            one(Layout::SupportBundle, "x"),
            "a namespace may be called pods"
        );
        assert_eq!(
            told(&[
                "l/image-a/namespaces/ns/core/pods.yaml",
                "l/image-b/cluster-scoped-resources/core/nodes/n.yaml"
            ]),
            Told::Dump(Layout::MustGather, vec!["l/image-a".into(), "l/image-b".into()])
        );
    }

    #[test]
    fn other_folders_are_no_dump() {
        assert_eq!(told(&["ns/pods.json", "src/services.json"]), Told::None, "without nodes.json");
        assert_eq!(told(&["nodes.json", "readme.txt"]), Told::None);
        assert_eq!(told(&["host_service_logs/masters/kubelet_service.log"]), Told::None);
        assert_eq!(told(&["a/b/c/d/e/nodes.json", "a/b/c/d/e/ns/pods.json"]), Told::None, "too deep");
    }

    #[test]
    fn two_dumps_are_not_read_as_one() {
        let names = ["a/nodes.json", "a/ns/pods.json", "b/nodes.json", "b/ns/pods.json"];
        assert_eq!(told(&names), Told::Several(vec!["a".into(), "b".into()]));
    }

    #[test]
    fn a_pod_that_its_namespace_lists_is_read_once() {
        let names = [
            "r/namespaces/a/core/pods.yaml",
            "r/namespaces/a/pods/p/p.yaml",
            "r/namespaces/b/pods/q/q.yaml",
            "r/host_service_logs/masters/kubelet_service.log.gz",
        ];
        let files = files(Layout::MustGather, &["r".to_owned()], names.into_iter());
        let inside: Vec<&str> = files.iter().map(|(_, inside, _)| *inside).collect();
        assert_eq!(
            inside,
            [
                "namespaces/a/core/pods.yaml",
                "namespaces/b/pods/q/q.yaml",
                "host_service_logs/masters/kubelet_service.log"
            ]
        );
    }
}
