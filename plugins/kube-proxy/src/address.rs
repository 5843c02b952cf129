//! Whether an address to listen on can be reached from another machine.

use std::net::{IpAddr, SocketAddr};

/// The host of `127.0.0.1:10249`, `[::1]`, `http://127.0.0.1:2381/` and the like.
fn host(address: &str) -> &str {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let address = address.split('/').next().unwrap_or(address);
    match address.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        // More than one colon without brackets is a bare IPv6 address.
        None if address.matches(':').count() == 1 => address.split(':').next().unwrap_or(address),
        None => address,
    }
}

/// Whether only the machine itself reaches this address. One that cannot be read counts as reachable.
pub(crate) fn is_loopback(address: &str) -> bool {
    if let Ok(socket) = address.parse::<SocketAddr>() {
        return socket.ip().to_canonical().is_loopback();
    }
    let host = host(address.trim());
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The address of all interfaces in the family of this one.
pub(crate) fn any(address: &str) -> &'static str {
    if host(address).contains(':') { "[::]" } else { "0.0.0.0" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_known_in_every_form_that_a_component_takes() {
        for inside in [
            "127.0.0.1:10249",
            "127.0.0.1",
            "127.0.1.1:10249",
            "[::1]:10249",
            "::1",
            "localhost:10249",
            "http://127.0.0.1:2381",
            "http://[::1]:2381/",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_loopback(inside), "{inside}");
        }
        for outside in
            ["0.0.0.0:10249", "[::]:10249", "0.0.0.0", "192.168.7.10:10249", "http://10.0.0.1:2381", "", "x"]
        {
            assert!(!is_loopback(outside), "{outside}");
        }
    }

    #[test]
    fn the_way_out_is_in_the_same_family() {
        assert_eq!((any("127.0.0.1:10249"), any("[::1]:10249"), any("::1")), ("0.0.0.0", "[::]", "[::]"));
    }
}
