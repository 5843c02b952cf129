//! Running other programs: shown with their output, or in silence until one fails.

use std::{
    borrow::Cow,
    ffi::OsStr,
    fmt::Write,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};

/// What another program is to be told
#[derive(clap::Args, Default)]
pub(crate) struct Passed {
    /// Options of the program that does it, as `--seed 3`; `-- --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

/// How much of a failed program's output is worth showing
const TAIL: usize = 30;

/// A command by name, to be filled in and run
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

/// The cargo that runs this program, so that a toolchain chosen by `cargo +NAME` stays chosen
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), args)
}

/// Runs with the output shown; the command line stands above it.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    println!("$ {}", line(command));
    let status = command.status().with_context(|| cannot_run(command))?;
    if !status.success() {
        bail!("`{}` failed ({})", line(command), outcome(status));
    }
    Ok(())
}

/// Runs in silence and returns what it printed; the end of its output is part of the error if it fails.
pub(crate) fn quiet(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_run(command))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let all = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
        bail!("`{}` failed ({})\n{}", line(command), outcome(output.status), tail(&all));
    }
    Ok(stdout)
}

/// The command as a person would type it; the path of the program is left out.
pub(crate) fn line(command: &Command) -> String {
    let program = command.get_program();
    let program = std::path::Path::new(program).file_name().unwrap_or(program);
    let mut text = program.to_string_lossy().into_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        // Writing to a String cannot fail.
        let _ = write!(text, " {}", word(&arg));
    }
    text
}

/// One word for a POSIX shell, and for what splits words as one does; quoted only where it must be
pub(crate) fn word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
    }
}

pub(crate) fn outcome(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit status {code}"))
}

pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    lines.iter().skip(from).map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn cannot_run(command: &Command) -> String {
    format!("cannot run `{}`", line(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_so_that_it_can_be_pasted() {
        let command = command("/usr/local/bin/cargo", ["test", "--", "it's so", "", "a=b"]);
        assert_eq!(line(&command), r"cargo test -- 'it'\''s so' '' a=b");
    }

    #[test]
    fn a_failure_names_the_command_its_status_and_its_last_words() {
        let mut failing = command("sh", ["-c", "echo first; echo last words >&2; exit 7"]);
        let text = quiet(&mut failing).unwrap_err().to_string();
        assert!(text.contains("exit status 7") && text.contains("    last words"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let text = format!("{:#}", quiet(&mut command("no-such-program", ["x"])).unwrap_err());
        assert!(text.starts_with("cannot run `no-such-program x`"), "{text}");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_shown() {
        let text: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        let end = tail(&text);
        assert_eq!(end.lines().count(), TAIL);
        assert!(end.ends_with("line 100") && !end.contains("line 70\n"), "{end}");
    }
}
