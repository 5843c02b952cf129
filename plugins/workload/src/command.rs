//! The container's process cannot be started: the program is not there, may not be run, or is for another processor.
//!
//! runc words it (libcontainer/standard_init_linux.go, `unable to start container process: exec: …`), containerd and
//! dockershim wrap it; the kubelet shows StartError (128) or ContainerCannotRun (126, 127). Where a shell runs the
//! command, the shell says it and ends with 126 or 127.

use kwhy_sdk::{Diagnosis, Evidence, Remedy, Signal, World};

use crate::{
    case, change, image, logs,
    pod::{Container, Pod},
    words::{any, kubectl, named, short, spoken, undo},
};

pub(crate) const CODE: &str = "workload.command-not-found";

/// What the runtime, a shell or the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// No such program.
    Absent,
    /// It is there and may not be run.
    Forbidden,
    /// Of another architecture, or a script without a first line.
    Format,
}

pub(crate) fn read(text: &str) -> Option<Said> {
    if text.contains("exec format error") {
        return Some(Said::Format);
    }
    let starts = any(
        text,
        &[
            "exec: ",
            "exec user process",
            "starting container process",
            "unable to start container process",
            "container_linux.go",
        ],
    );
    if text.contains("executable file not found")
        || (starts && text.contains("no such file or directory") && !text.contains("mount"))
    {
        return Some(Said::Absent);
    }
    if starts && text.contains("permission denied") && !text.contains("mount") {
        return Some(Said::Forbidden);
    }
    None
}

/// `exec: "wge": executable file not found` names the program.
fn program(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("exec: \"")?;
    rest.split_once('"').map(|(program, _)| program.to_owned())
}

/// A shell looks for programs by itself, so that it is there says nothing of what it is told to run.
fn shell(command: &str) -> bool {
    let name = command.rsplit('/').next().unwrap_or(command);
    matches!(name, "sh" | "bash" | "ash" | "dash" | "zsh" | "env" | "tini" | "dumb-init")
}

/// `/bin/sh: 1: wge: not found`, `line 3: wge: command not found`, `env: ‘wge’: No such file or directory`.
fn of_shell(text: &str) -> Option<String> {
    let marks = [
        ": command not found",
        ": not found",
        ": No such file or directory",
        ": Permission denied",
        ": cannot execute",
    ];
    let before = marks.iter().find_map(|mark| text.split_once(mark)).map(|(before, _)| before)?;
    let name = before.rsplit(": ").next()?.trim_matches(|c: char| matches!(c, '‘' | '’' | '\'' | '"' | '`'));
    (!name.is_empty() && !name.contains(' ')).then(|| name.to_owned())
}

pub(crate) fn judge(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    let end = container.end();
    let (reason, message) = container.waiting();
    let ended = end.as_ref().map_or("", |e| e.message.as_str());
    let event = pod
        .told(world, container, "Failed", world.ago(kwhy_sdk::hours(2)))
        .into_iter()
        .find(|e| read(&e.message).is_some());
    let texts = [ended, message];
    let own = texts.into_iter().find_map(|t| Some((read(t)?, t.to_owned())));
    let waits =
        matches!(reason, "RunContainerError" | "CreateContainerError" | "CrashLoopBackOff" | "StartError")
            || container.crashing();
    if !waits && own.is_none() {
        return None;
    }
    let by_event = || {
        event
            .as_ref()
            .filter(|_| end.as_ref().is_none_or(|e| e.code != 0))
            .and_then(|e| Some((read(&e.message)?, e.message.clone())))
    };
    if let Some((said, text)) = own.or_else(by_event) {
        return Some(diagnose(world, pod, container, said, &text, event));
    }
    let code = end.as_ref().map_or(0, |e| e.code);
    let ill = pod.created();
    if container.restarts() >= 1 {
        let line = logs::newest(world, pod, container, logs::EXEC, logs::since(container, ill));
        let line = line.filter(|l| matches!(code, 126 | 127) || l.message.contains("exec format error"));
        if let Some(line) = line {
            let said = if line.message.contains("exec format error") {
                Said::Format
            } else if code == 126 {
                Said::Forbidden
            } else {
                Said::Absent
            };
            return Some(diagnose(world, pod, container, said, &line.message.clone(), Some(line)));
        }
        if matches!(code, 126 | 127) {
            let said = if code == 126 { Said::Forbidden } else { Said::Absent };
            return Some(diagnose(world, pod, container, said, &format!("exit code {code}"), None));
        }
    }
    None
}

fn diagnose(
    world: &World<'_>,
    pod: &Pod,
    container: &Container,
    said: Said,
    text: &str,
    signal: Option<Signal>,
) -> Diagnosis {
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let given = container.spec.texts("/command");
    let program = program(text)
        .or_else(|| signal.as_ref().and_then(|_| of_shell(text)))
        .or_else(|| given.first().filter(|c| !shell(c)).cloned())
        .unwrap_or_default();
    let what = if program.is_empty() { "its command".to_owned() } else { format!("`{program}`") };
    let rollout = change::rollout(world, pod).filter(|r| {
        r.fields.iter().any(|f| {
            f.container == *name && matches!(f.name.as_str(), "command" | "args" | "image" | "container")
        })
    });
    let k = kubectl(&pod.holder.namespace);
    let edit = format!("{k} edit {}", named(&pod.holder));
    let mut diagnosis;
    if said == Said::Format {
        diagnosis = case::of_pod(world, image::ARCHITECTURE, &pod.workload, pod, 85);
        let node = kwhy_sdk::ObjectRef::new("Node", "", pod.node());
        let info = world.read(&node, "/status/nodeInfo").unwrap_or_default();
        let arch = info.text("/architecture").to_owned();
        let arch = if arch.is_empty() { "this node's architecture".to_owned() } else { arch };
        diagnosis.title = format!(
            "The image of {whose} is not built for the processor of node {} ({arch}): exec format error",
            pod.node()
        );
        diagnosis.explanation = format!(
            "The kernel of node {} cannot run the program in {}: it is built for another architecture, or is a script without a `#!` line. Container {name} ends at once.",
            pod.node(),
            container.image()
        );
        diagnosis.remedies.push(
            Remedy::new("build and push the image for all processors of the cluster").command(format!(
                "docker buildx build --platform linux/amd64,linux/arm64 -t {} --push .",
                container.image()
            )),
        );
        diagnosis.remedies.push(Remedy::new("or keep the pods on nodes of the image's architecture").command(format!("{k} patch {} --type merge -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"nodeSelector\":{{\"kubernetes.io/arch\":\"amd64\"}}}}}}}}}}'", named(&pod.holder))));
    } else {
        diagnosis = case::of_pod(
            world,
            CODE,
            &pod.workload,
            pod,
            if signal.is_none() && text.starts_with("exit code") { 65 } else { 92 },
        );
        if said == Said::Absent {
            diagnosis.title = format!("{whose} is told to run {what}, which is not found in its image");
            diagnosis.explanation = format!(
                "Container {name} cannot start: {} has no program {what} where it is looked for.",
                container.image()
            );
        } else {
            diagnosis.title = format!("{whose} is told to run {what}, which may not be executed");
            diagnosis.explanation = format!(
                "Container {name} cannot start: {what} in {} is not executable for the user that the container runs as.",
                container.image()
            );
        }
        let mend =
            format!("mend `command` or `args` of container {name}, or build an image that has the program");
        diagnosis.remedies.push(if said == Said::Absent {
            Remedy::new(mend).command(edit)
        } else {
            Remedy::new(format!(
                "make {what} executable where it comes from: `chmod 755` in the image's build, `defaultMode: 0755` for a mounted ConfigMap; or run it by its interpreter"
            ))
            .command(edit)
        });
    }
    if let Some(rollout) = &rollout {
        diagnosis.evidence.push(rollout.evidence(30, "the change that brought it"));
        diagnosis.explanation.push_str(&format!(" It was changed: {}.", rollout.words()));
        if let Some(back) = undo(&pod.holder) {
            diagnosis.remedies.push(Remedy::new("or go back to the former revision").command(back));
        }
    }
    case::note_root(
        &mut diagnosis,
        if given.is_empty() {
            format!("image {}", container.image())
        } else {
            format!("command {}", short(&given.join(" "), 80))
        },
    );
    match signal {
        Some(signal) => diagnosis.evidence.push(
            Evidence::signal(&signal, 50, "what was said at the start").citing(short(&signal.message, 500)),
        ),
        None => diagnosis.evidence.push(Evidence::object(
            &pod.id,
            short(text, 500),
            50,
            "how the container ended",
        )),
    }
    diagnosis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_runtimes_tell_absent_from_forbidden() {
        for (text, want) in [
            (
                r#"failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "wge": executable file not found in $PATH: unknown"#,
                Some(Said::Absent),
            ),
            (
                r#"OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "/app": stat /app: no such file or directory: unknown"#,
                Some(Said::Absent),
            ),
            (
                r#"unable to start container process: exec: "/app/run": permission denied: unknown"#,
                Some(Said::Forbidden),
            ),
            ("exec /usr/local/bin/app: exec format error", Some(Said::Format)),
            (r#"error mounting "/x" to rootfs at "/y": mount /x: not a directory: unknown"#, None),
            ("Error response from daemon: Minimum memory limit allowed is 6MB", None),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
        assert_eq!(program(r#"exec: "wge": executable"#).as_deref(), Some("wge"));
        for line in [
            "/bin/sh: 1: wge: not found",
            "/bin/sh: wge: not found",
            "/entrypoint.sh: line 3: wge: command not found",
            "env: ‘wge’: No such file or directory",
        ] {
            assert_eq!(of_shell(line).as_deref(), Some("wge"), "{line}");
        }
    }
}
