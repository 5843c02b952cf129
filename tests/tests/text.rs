//! What a person sees.
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where its ground gives way")]

use std::{fs, io, process::Stdio};

use kwhy_proto::v1::Finding;
use kwhy_tests::{Background, Ended, Kwhy, capture, coredns_loop, here};

/// The time that the run took is the one thing that two runs may say differently.
fn masked(text: &str) -> String {
    let is_elapsed = |part: &str| {
        let number = part.strip_suffix(" ms").or_else(|| part.strip_suffix(" s"));
        number.is_some_and(|number| number.parse::<f64>().is_ok())
    };
    let mask = |line: &str| match line.rsplit_once(" · ") {
        Some((before, last)) if is_elapsed(last) => format!("{before} · TIME\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(mask).collect()
}

fn report(kwhy: &Kwhy, name: &str) -> Ended {
    kwhy.run(&[&"diagnose", &capture(name), &"--output", &"text"])
}

/// The sequences that colour text, and what is left without them.
fn without_colour(text: &str) -> (usize, String) {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    let mut count = 0;
    for part in parts {
        let (codes, rest) = part.split_once('m').unwrap_or_else(|| panic!("no colour: {part:?}"));
        assert!(codes.chars().all(|c| c.is_ascii_digit() || c == ';'), "no colour: {codes:?}");
        count += 1;
        plain.push_str(rest);
    }
    (count, plain)
}

#[test]
fn the_report_of_the_coredns_loop_is_the_golden_one() {
    let Ended { code, stdout, stderr } = report(&Kwhy::new(), "a1-coredns-loop");
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    let golden = here("golden/a1-coredns-loop.txt");
    let text = masked(&stdout);
    assert!(text.contains(" · TIME\n"), "the elapsed time is said:\n{stdout}");
    if std::env::var_os("KWHY_BLESS").is_some() {
        fs::write(&golden, &text).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&golden).expect("a golden file");
    assert!(
        text == expected,
        "the report is another; look at it and bless it with `cargo xtask bless`\n\
         --- expected\n{expected}\n--- is\n{text}"
    );
}

#[test]
fn a_report_that_goes_into_a_file_has_no_colour_and_fits_100_columns() {
    let kwhy = Kwhy::new();
    for name in ["a1-coredns-loop", "a1-fixed", "a1-near-miss", "c-near-miss", "d7-quiet-day"] {
        let Ended { stdout, stderr, .. } = report(&kwhy, name);
        assert_eq!(stderr, "", "{name}");
        assert!(!stdout.is_empty() && !stdout.contains('\u{1b}'), "{name}: {stdout}");
        let findings = kwhy.diagnose(&capture(name)).stdout;
        let findings = findings.lines().map(|line| serde_json::from_str::<Finding>(line).expect("a finding"));
        let commands: String = findings.flat_map(|f| f.remedy).map(|remedy| remedy.command + "\n").collect();
        for line in stdout.lines() {
            let columns = line.chars().count();
            // A command is there to be pasted: it is never cut.
            let is_command = commands.lines().any(|command| command.trim() == line.trim());
            assert!(columns <= 100 || is_command, "{name}: {columns} columns: {line}");
        }
    }
}

#[test]
fn a_terminal_gets_colour_and_the_same_words() {
    let kwhy = Kwhy::new();
    let piped = masked(&report(&kwhy, "a1-coredns-loop").stdout);
    let shown = Background::start(kwhy.on_terminal(&[&"diagnose", &coredns_loop()])).wait();
    assert_eq!(shown.code, Some(1), "{}", shown.stderr);
    let (count, plain) = without_colour(&shown.stdout);
    assert!(count > 10, "{count} colours in\n{}", shown.stdout);
    assert_eq!(masked(&plain), piped);
}

#[test]
fn no_color_is_kept_on_a_terminal() {
    let kwhy = Kwhy::new();
    let piped = masked(&report(&kwhy, "a1-coredns-loop").stdout);
    let mut command = kwhy.on_terminal(&[&"diagnose", &coredns_loop()]);
    command.env("NO_COLOR", "1");
    assert_eq!(masked(&Background::start(command).wait().stdout), piped);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let kwhy = Kwhy::new();
    for format in ["json", "text"] {
        let (reader, writer) = io::pipe().expect("a pipe");
        // As `| head -1` does after its line.
        drop(reader);
        let mut command = kwhy.command(&[&"diagnose", &coredns_loop(), &"--output", &format]);
        command.stdin(Stdio::null()).stdout(writer);
        let ended = command.output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{format}");
        assert_eq!(ended.status.code(), Some(0), "{format}");
    }
}

#[test]
fn what_cannot_be_written_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let kwhy = Kwhy::new();
    let mut command = kwhy.command(&[&"diagnose", &coredns_loop()]);
    let ended = command.stdin(Stdio::null()).stdout(full).output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!((ended.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.starts_with("kwhy: ") && said.contains("No space left on device"), "{said}");
}

#[test]
fn the_readme_shows_what_a_person_sees() {
    let readme = fs::read_to_string(here("../README.md")).expect("the README");
    let shown = readme
        .split("$ kwhy diagnose tests/captures/a1-coredns-loop\n")
        .nth(1)
        .expect("the command in the README");
    let shown = shown.split("```").next().unwrap_or_default();
    let golden = fs::read_to_string(here("golden/a1-coredns-loop.txt")).expect("a golden file");
    assert_eq!(masked(shown), golden, "the README shows another report than the golden one");
}
