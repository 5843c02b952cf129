//! `kwhy diagnose` on what people have already: the dump of `kubectl cluster-info`, a must-gather, a support bundle, as a
//! folder and packed. The cause must be that of the capture which the dump was made of.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::{fs, io::Write, path::Path};

use kwhy_proto::v1::Finding;
use kwhy_tests::{
    Ended, Kwhy, capture, coredns_loop,
    dumps::{Cluster, tar_gz, zip},
    findings::{Findings, root_of, said},
    here,
};

/// The loud findings, as `code root`.
fn causes(kwhy: &Kwhy, dump: &Path) -> Vec<String> {
    let findings = Findings::of(kwhy, dump).unwrap_or_else(|error| panic!("{}: {error}", dump.display()));
    findings.loud().map(|finding| format!("{} {}", finding.code, root_of(finding))).collect()
}

/// Writes a dump in each layout; gives their names and folders.
fn dumps(kwhy: &Kwhy, cluster: &Cluster) -> Vec<(&'static str, std::path::PathBuf)> {
    let at = |name: &'static str| (name, kwhy.home(name));
    let all = [at("kubectl-json"), at("kubectl-yaml"), at("gathered"), at("bundled"), at("bundled-long-ago")];
    cluster.cluster_dump(&all[0].1, false);
    cluster.cluster_dump(&all[1].1, true);
    cluster.must_gather(&all[2].1);
    cluster.support_bundle(&all[3].1, false);
    cluster.support_bundle(&all[4].1, true);
    all.to_vec()
}

#[test]
fn each_layout_names_the_cause_that_its_cluster_has() {
    let kwhy = Kwhy::new();
    let cluster = Cluster::of(&coredns_loop());
    for (name, dump) in dumps(&kwhy, &cluster) {
        let found = causes(&kwhy, &dump);
        assert!(found.len() == 1 && found[0].starts_with("coredns.forward-loop "), "{name}: {found:?}");
    }
}

#[test]
fn a_packed_dump_says_what_its_folder_says() {
    let kwhy = Kwhy::new();
    let cluster = Cluster::of(&coredns_loop());
    // Findings name the cluster, which is called like the folder or the archive.
    for (name, dump) in dumps(&kwhy, &cluster) {
        let (tar, zipped) = (kwhy.home(&format!("{name}.tar.gz")), kwhy.home(&format!("{name}.zip")));
        tar_gz(&dump, &tar);
        zip(&dump, &zipped);
        let [plain, tar, zipped] = [&dump, &tar, &zipped].map(|path| kwhy.diagnose(path));
        assert_eq!(plain.code, Some(1), "{}", plain.stderr);
        assert_eq!((plain.stdout.as_str(), ""), (tar.stdout.as_str(), tar.stderr.as_str()), "{name}.tar.gz");
        assert_eq!(
            (plain.stdout.as_str(), ""),
            (zipped.stdout.as_str(), zipped.stderr.as_str()),
            "{name}.zip"
        );
    }
}

#[test]
fn a_packed_capture_says_what_its_folder_says() {
    let kwhy = Kwhy::new();
    let capture = coredns_loop();
    let (tar, zipped) = (kwhy.home("a.tgz"), kwhy.home("b.zip"));
    tar_gz(&capture, &tar);
    zip(&capture, &zipped);
    let plain = kwhy.diagnose(&capture);
    for packed in [tar, zipped] {
        assert_eq!(kwhy.diagnose(&packed), plain, "{}", packed.display());
    }
}

#[test]
fn files_of_a_capture_beside_a_dump_say_more() {
    let kwhy = Kwhy::new();
    let dump = kwhy.home("dump");
    Cluster::of(&coredns_loop()).cluster_dump(&dump, false);
    for file in ["capture.yaml", "alerts.json", "alerts.ndjson"] {
        fs::copy(coredns_loop().join(file), dump.join(file)).expect("a copy");
    }
    let findings = Findings::of(&kwhy, &dump).expect("findings");
    let loud: Vec<&Finding> = findings.loud().collect();
    assert_eq!(loud.len(), 1, "{loud:?}");
    let alerts = loud[0].symptoms.iter().filter(|symptom| symptom.source == "alert").count();
    assert_eq!((loud[0].cluster.as_str(), alerts), ("homelab", 3), "{}", said(loud[0]));
}

/// One file holds the lines of all nodes.
#[test]
fn kubelet_lines_of_a_must_gather_are_of_the_node_that_they_name() {
    let kwhy = Kwhy::new();
    let dump = kwhy.home("gathered");
    Cluster::of(&coredns_loop()).must_gather(&dump);
    let ended = kwhy.diagnose(&dump);
    let all: Vec<Finding> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("a finding")).collect();
    let mut nodes: Vec<String> =
        all.iter().filter(|f| f.code == "storage.volume-ownership-noise").map(root_of).collect();
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes, ["Node//ford", "Node//kal"]);
}

/// Of other incidents too, where the tool has collected what tells of them.
#[test]
fn other_incidents_are_told_from_each_layout() {
    for (name, code) in [
        ("d3-imagepull-bad-tag", "workload.image-not-found"),
        ("d6-unschedulable-resources", "scheduling.insufficient-memory"),
        ("k4-image-for-another-architecture", "workload.image-architecture"),
    ] {
        let kwhy = Kwhy::new();
        for (layout, dump) in dumps(&kwhy, &Cluster::of(&capture(name))) {
            let found = causes(&kwhy, &dump);
            assert!(found.iter().any(|found| found.starts_with(code)), "{name} as {layout}: {found:?}");
        }
    }
}

#[test]
fn a_real_support_bundle_of_a_cluster_that_is_well_says_so() {
    let bundle = here("data/troubleshoot-objects/k3s-support-bundle.tar.gz");
    let ended = Kwhy::new().run(&[&"diagnose", &bundle]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("nothing wrong") && ended.stdout.contains("1 node"), "{}", ended.stdout);
}

#[test]
fn a_bad_file_of_a_dump_is_one_line_and_the_cause_stands() {
    let kwhy = Kwhy::new();
    let dump = kwhy.home("dump");
    Cluster::of(&coredns_loop()).must_gather(&dump);
    let image = fs::read_dir(&dump).expect("a folder").next().expect("an image").expect("a folder").path();
    let services = image.join("namespaces/kube-system/core/services.yaml");
    fs::write(&services, "kind: ServiceList\nitems: [\n").expect("a file");
    let ended = kwhy.diagnose(&dump);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let errors = ended.errors();
    assert!(
        errors.len() == 1
            && errors[0].contains("namespaces/kube-system/core/services.yaml: not a List of Kubernetes")
            && errors[0].contains(" line "),
        "{errors:?}"
    );
    assert!(ended.stdout.contains("coredns.forward-loop"));
}

fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{}", ended.stderr);
    let errors = ended.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    for word in words {
        assert!(errors[0].contains(word), "{word} is not in {}", errors[0]);
    }
}

#[test]
fn a_folder_that_is_none_of_these_is_told_what_was_looked_for() {
    let kwhy = Kwhy::new();
    kwhy.write("other/src/main.rs", "fn main() {}\n");
    kwhy.write("other/pods.json", "{}\n");
    let ended = kwhy.diagnose(&kwhy.home("other"));
    refused(&ended, &["objects.json", "cluster-info dump", "must-gather", "cluster-resources/"]);
}

#[test]
fn two_dumps_in_a_folder_are_not_read_as_one() {
    let kwhy = Kwhy::new();
    let cluster = Cluster::of(&coredns_loop());
    cluster.cluster_dump(&kwhy.home("both/monday"), false);
    cluster.cluster_dump(&kwhy.home("both/tuesday"), false);
    refused(&kwhy.diagnose(&kwhy.home("both")), &["several dumps", "monday, tuesday"]);
}

#[test]
fn an_archive_that_is_hostile_is_refused() {
    let kwhy = Kwhy::new();
    let bomb = kwhy.home("bomb.tar.gz");
    let file =
        flate2::write::GzEncoder::new(fs::File::create(&bomb).expect("a file"), flate2::Compression::best());
    let mut tar = tar::Builder::new(file);
    let mut header = tar::Header::new_gnu();
    header.set_size(200 << 20);
    header.set_mode(0o600);
    tar.append_data(&mut header, "dump/nodes.json", std::io::Read::take(std::io::repeat(b' '), 200 << 20))
        .expect("a tar");
    tar.into_inner().and_then(flate2::write::GzEncoder::finish).expect("a tar");
    refused(&kwhy.diagnose(&bomb), &["refused", "unpack to more than"]);

    let outside = kwhy.home("outside.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&outside).expect("a file"));
    zip.start_file("../../nodes.json", zip::write::SimpleFileOptions::default()).expect("a zip");
    zip.write_all(b"{}").expect("a zip");
    zip.finish().expect("a zip");
    refused(&kwhy.diagnose(&outside), &["`../../nodes.json` in it leads out of it"]);
    assert!(!kwhy.home("nodes.json").exists() && !kwhy.home("../nodes.json").exists());

    refused(&kwhy.diagnose(&kwhy.write("some.txt", "words\n")), &["neither a directory nor an archive"]);
}

/// A link in a dump must not decide what else of the machine is read.
#[test]
fn links_in_a_dump_are_not_followed() {
    let kwhy = Kwhy::new();
    let dump = kwhy.home("dump");
    Cluster::of(&coredns_loop()).support_bundle(&dump, false);
    let pods = fs::read_dir(&dump).expect("a folder").next().expect("a bundle").expect("a folder").path();
    let pods = pods.join("cluster-resources/pods/kube-system.json");
    let elsewhere = kwhy.home("elsewhere.json");
    fs::rename(&pods, &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, &pods).expect("a link");
    let ended = kwhy.diagnose(&dump);
    assert!(!ended.stdout.contains("cluster-resources/pods/kube-system.json"), "{}", ended.stdout);
}
