//! What the container runtimes say of a pull that fails: containerd (core/remotes/docker), CRI-O (containers/image) and
//! dockershim (distribution), in the words that the kubelet hands on.

use crate::words::any;

/// What a pull's error text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    NotFound,
    BadName,
    Never,
    Denied,
    /// Docker Hub and others do not tell a private repository from none at all.
    DeniedOrNone,
    /// The node's own policy does not trust the image.
    Signature,
    /// The first format of Docker's manifests, which containerd gave up with 2.0.
    OldFormat,
    RateLimit,
    Platform,
    Unknown,
    Unreachable,
    Tls,
    /// Nothing but that it failed.
    Nothing,
    /// A node without space or a runtime in trouble: not the image's fault.
    Node,
}

/// Reads the error text of a pull. The order matters: a text often wraps a general phrase around a telling one.
pub(crate) fn read(text: &str) -> Said {
    let text = text.to_ascii_lowercase();
    let has = |of: &[&str]| any(&text, of);
    if has(&[
        "no space left on device",
        "disk quota exceeded",
        "failed to prepare extraction snapshot",
        "read-only file system",
    ]) {
        return Said::Node;
    }
    if has(&[
        "no match for platform",
        "no matching manifest for",
        "no image found in manifest list",
        "no image found in image index",
        "choosing image instance",
        "does not match the specified platform",
        "exec format error",
    ]) {
        return Said::Platform;
    }
    if has(&["toomanyrequests", "too many requests", "rate limit"]) {
        return Said::RateLimit;
    }
    if has(&["source image rejected", "signaturevalidationfailed", "signature verification failed"]) {
        return Said::Signature;
    }
    if has(&["is no longer supported since containerd"]) {
        return Said::OldFormat;
    }
    if has(&["proxy authentication required"]) {
        return Said::Unreachable;
    }
    if has(&[
        "repository does not exist or may require",
        "insufficient_scope",
        "requested access to the resource is denied",
        "access to the requested resource is not authorized",
        "or it may not exist",
    ]) {
        return Said::DeniedOrNone;
    }
    if has(&[
        "unauthorized",
        "no basic auth credentials",
        "authentication required",
        "access denied",
        "access to the resource is denied",
        ": 401",
        "status: 401",
        " 401 ",
        "403 forbidden",
        "permission denied",
        "denied:",
        "authorization failed",
        "not authorized",
        "failed to authorize",
        "invalid username/password",
    ]) {
        // Fetching a token fails in the same words when the registry is out of reach.
        return if has(&["dial tcp", "no such host", "i/o timeout", "tls handshake timeout"]) {
            Said::Unreachable
        } else {
            Said::Denied
        };
    }
    if has(&["x509:", "server gave http response to https client", "tls: "]) && !has(&["handshake timeout"]) {
        return Said::Tls;
    }
    if has(&[
        "no such host",
        "dial tcp",
        "i/o timeout",
        "connection refused",
        "connection reset",
        "no route to host",
        "network is unreachable",
        "tls handshake timeout",
        "client.timeout exceeded",
        "context deadline exceeded",
        "500 internal server error",
        "502 bad gateway",
        "503 service unavailable",
        "504 gateway",
        "request canceled while waiting",
        "unexpected eof",
        ": eof",
        "server misbehaving",
        "pull qps exceeded",
    ]) {
        return Said::Unreachable;
    }
    if has(&[
        "couldn't parse image",
        "invalid reference format",
        "failed to apply default image tag",
        "invalidimagename",
    ]) {
        return Said::BadName;
    }
    if has(&["is not present with pull policy of never", "errimageneverpull"]) {
        return Said::Never;
    }
    if has(&[
        "not found",
        "manifest unknown",
        "manifest_unknown",
        "name unknown",
        "name_unknown",
        "does not exist",
        "code = notfound",
        " 404",
    ]) {
        return Said::NotFound;
    }
    if has(&["failed to pull", "failed to resolve", "error reading manifest"]) {
        Said::Unknown
    } else {
        Said::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_runtimes_are_told_apart() {
        let cases = [
            (
                r#"rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/a/b:v9": failed to resolve reference "ghcr.io/a/b:v9": ghcr.io/a/b:v9: not found"#,
                Said::NotFound,
            ),
            (
                "rpc error: code = Unknown desc = Error response from daemon: manifest for a/b:v9 not found: manifest unknown: manifest unknown",
                Said::NotFound,
            ),
            ("reading manifest v9 in quay.io/a/b: manifest unknown", Said::NotFound),
            (
                r#"failed to resolve reference "docker.io/a/b:latest": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"#,
                Said::DeniedOrNone,
            ),
            (
                "Error response from daemon: pull access denied for a/b, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                Said::DeniedOrNone,
            ),
            (
                r#"failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token?scope=x: 401 Unauthorized"#,
                Said::Denied,
            ),
            (
                r#"failed to authorize: failed to fetch oauth token: Post "https://auth.docker.io/token": dial tcp: lookup auth.docker.io on 10.0.0.1:53: no such host"#,
                Said::Unreachable,
            ),
            ("no basic auth credentials", Said::Denied),
            (
                r#"failed to do request: Head "https://reg.example/v2/a/manifests/v1": dial tcp 10.1.1.1:443: i/o timeout"#,
                Said::Unreachable,
            ),
            (
                r#"Error response from daemon: Get "https://noimage.com/v2/": x509: certificate is not valid for any names, but wanted to match noimage.com"#,
                Said::Tls,
            ),
            (
                r#"Error response from daemon: Get "https://noimage.com/v2/": net/http: TLS handshake timeout"#,
                Said::Unreachable,
            ),
            ("http: server gave HTTP response to HTTPS client", Said::Tls),
            (
                "reading manifest 2.2.0 in docker.io/library/acme-hook: requested access to the resource is denied",
                Said::DeniedOrNone,
            ),
            (
                "Error reading manifest 1.0.0 in quay.io/a/b: unauthorized: access to the requested resource is not authorized",
                Said::DeniedOrNone,
            ),
            (
                "unable to pull image or OCI artifact: pull image err: copying system image from manifest list: Source image rejected: None of the signatures were accepted; artifact err: image reference: reference is a container image, not an OCI artifact",
                Said::Signature,
            ),
            (
                r#"not implemented: media type "application/vnd.docker.distribution.manifest.v1+prettyjws" is no longer supported since containerd v2.0, please rebuild the image as "application/vnd.docker.distribution.manifest.v2+json""#,
                Said::OldFormat,
            ),
            (
                r#"failed to do request: Head "https://registry-1.docker.io/v2/a/manifests/1": proxyconnect tcp: 407 Proxy Authentication Required"#,
                Said::Unreachable,
            ),
            (
                "429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
                Said::RateLimit,
            ),
            ("no match for platform in manifest: not found", Said::Platform),
            ("no matching manifest for linux/arm64/v8 in the manifest list entries", Said::Platform),
            (
                r#"Failed to apply default image tag "a b": couldn't parse image name "a b": invalid reference format"#,
                Said::BadName,
            ),
            ("failed to extract layer sha256:00: write /x: no space left on device", Said::Node),
            (r#"Back-off pulling image "a:v1""#, Said::Nothing),
            (
                r#"Back-off pulling image "a:v1": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/a:v1": not found"#,
                Said::NotFound,
            ),
        ];
        for (text, said) in cases {
            assert_eq!(read(text), said, "{text}");
        }
    }
}
