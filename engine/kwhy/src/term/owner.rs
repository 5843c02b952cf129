//! Who stores the findings of a cluster, so named that another process on the same machine can tell whether it lives.
//!
//! Whoever was killed need not be waited for: its successor on the same machine sees that it is gone. On another machine,
//! or in another container, only its silence tells.

use std::fs;

/// The name of this process: the boot of the machine, the namespace of process ids, the id, and when it began.
pub(crate) fn name() -> String {
    let process = std::process::id();
    format!("{}/{process}/{}", here(), began(process).unwrap_or_default())
}

/// Whether the process of that name is certainly gone. One of another machine never is.
pub(crate) fn is_gone(name: &str) -> bool {
    let mut parts = name.rsplitn(3, '/');
    let (Some(start), Some(process), Some(place)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let Ok(process) = process.parse() else { return false };
    place == here() && !place.starts_with('/') && began(process).as_deref() != Some(start)
}

/// Where process ids mean the same; begins with a slash where that is not known.
fn here() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if space.as_os_str().is_empty() {
        String::from("/")
    } else {
        format!("{}/{}", boot.trim(), space.display())
    }
}

/// When a process began, in ticks since the boot; none where there is none, or where it is dead and only not yet buried.
fn began(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18).map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_lives_is_not_gone() {
        assert!(!is_gone(&name()));
    }

    #[test]
    fn one_that_ended_or_whose_id_another_has_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = child.id();
        let of_child = format!("{}/{id}/{}", here(), began(id).unwrap_or_default());
        child.wait().unwrap();
        assert!(is_gone(&of_child));
        assert!(is_gone(&format!("{}/{}/1", here(), std::process::id())));
    }

    #[test]
    fn of_one_elsewhere_nothing_is_certain() {
        for elsewhere in ["", "x", "other-boot/pid:[1]/1/1", "/1/1"] {
            assert!(!is_gone(elsewhere), "{elsewhere}");
        }
    }
}
