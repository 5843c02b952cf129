//! A pod that runs metrics-server: how it is told from others, how it fares, what it was told on its command line.

use std::ops::Deref;

use kwhy_sdk::{Json, ObjectRef, Program, World, command_line, flag, image_name};

/// The order in which addresses are tried unless another is set (`pkg/utils/address_resolver.go`).
const DEFAULT_TYPES: [&str; 5] = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];
pub(crate) const TYPES_FLAG: &str = "kubelet-preferred-address-types";
pub(crate) const CA_FLAG: &str = "kubelet-certificate-authority";
pub(crate) const INSECURE_FLAG: &str = "kubelet-insecure-tls";

/// Whether a container runs metrics-server, by its image or its program.
pub(crate) fn is_metrics_server(container: &Json) -> bool {
    let program = |word: &String| word.rsplit('/').next() == Some("metrics-server");
    image_name(container.text("/image")).contains("metrics-server")
        || command_line(container).iter().take(3).any(program)
}

/// A metrics-server pod as it stands now.
#[derive(Debug, Clone)]
pub(crate) struct Pod(Program);

impl Deref for Pod {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.0
    }
}

impl Pod {
    /// The pod if it stands, is not being deleted and runs metrics-server.
    pub(crate) fn load(world: &World<'_>, id: &ObjectRef) -> Option<Self> {
        let pick = |pod: &Json| pod.list("/spec/containers").into_iter().find(is_metrics_server);
        Program::load(world, id, pick).filter(|p| !p.terminating() && !p.ended()).map(Self)
    }

    /// When the pod was made, as the API server wrote it.
    pub(crate) fn made(&self) -> &str {
        self.pod.text("/metadata/creationTimestamp")
    }

    /// Which state of its template it was made from.
    pub(crate) fn template(&self) -> &str {
        self.pod.text("/metadata/labels/pod-template-hash")
    }

    /// The kinds of address that it tries, in order, and the word that says so; empty for the default.
    pub(crate) fn address_types(&self) -> (Vec<String>, String) {
        let words = self.words();
        match flag(&words, TYPES_FLAG).filter(|v| !v.is_empty()) {
            Some(value) => {
                let types = value.split(',').map(|t| t.trim().to_owned()).collect();
                (types, format!("--{TYPES_FLAG}={value}"))
            }
            None => (DEFAULT_TYPES.iter().map(|t| (*t).to_owned()).collect(), String::new()),
        }
    }

    /// The file of the CA that the kubelets' certificates are checked against, where one is set.
    pub(crate) fn ca_file(&self) -> Option<String> {
        flag(&self.words(), CA_FLAG).filter(|v| !v.is_empty())
    }
}
