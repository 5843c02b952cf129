//! What a container runs and what it is told on its command line.

use crate::Json;

/// The last part of an image's name, without tag and digest: `kube-proxy` of `registry.k8s.io/kube-proxy:v1.29.2`.
#[must_use]
pub fn image_name(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split(':').next().unwrap_or(last)
}

/// Command and arguments of a container in order, a shell's script split into its words.
#[must_use]
pub fn command_line(container: &Json) -> Vec<String> {
    let all = [container.texts("/command"), container.texts("/args")].concat();
    all.iter().flat_map(|arg| arg.split_whitespace()).map(str::to_owned).collect()
}

/// The value of a flag on a command line, in any of Go's forms (`--flag=x`, `-flag=x`, `--flag x`); empty where it
/// stands alone, none where it does not stand there. The last one counts, as it does for the program.
#[must_use]
pub fn flag(words: &[String], name: &str) -> Option<String> {
    let at = |word: &str| -> Option<Option<String>> {
        let rest = word.strip_prefix('-')?;
        match rest.strip_prefix('-').unwrap_or(rest).strip_prefix(name)? {
            "" => Some(None),
            value => Some(Some(value.strip_prefix('=')?.to_owned())),
        }
    };
    let (place, value) = words.iter().enumerate().rev().find_map(|(i, w)| Some((i, at(w)?)))?;
    let next = || words.get(place + 1).filter(|w| !w.starts_with('-')).cloned();
    Some(value.or_else(next).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_image_is_called_by_its_last_part() {
        assert_eq!(image_name("registry.k8s.io/kube-proxy:v1.29.2"), "kube-proxy");
        assert_eq!(image_name("localhost:5000/a/b@sha256:0f"), "b");
        assert_eq!(image_name("etcd"), "etcd");
    }

    #[test]
    fn a_flag_is_read_in_any_of_its_forms_and_the_last_one_counts() {
        let container =
            json!({"command": ["/bin/sh", "-c", "x --a=1 -b=2 --c 3 --d --a=4"], "args": ["--e"]});
        let words = command_line(&Json::new(container));
        let is = |name: &str| flag(&words, name);
        assert_eq!((is("a").as_deref(), is("b").as_deref()), (Some("4"), Some("2")));
        assert_eq!((is("c").as_deref(), is("d").as_deref()), (Some("3"), Some("")));
        assert_eq!((is("e").as_deref(), is("f"), is("x")), (Some(""), None, None));
    }

    #[test]
    fn a_longer_flag_is_another_flag() {
        let words = ["--bind-address-hard-fail=true".to_owned()];
        assert_eq!(flag(&words, "bind-address"), None);
    }
}
