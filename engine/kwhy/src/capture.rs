//! `kwhy capture`: the cluster of the kubeconfig written down.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use kwhy_collect::{
    clock, kube,
    logs::{Journal, KUBELETS},
    snapshot::{self, SnapshotError, Wanted},
};

use crate::{config::Config, exit::Exit, folder, progress::Progress};

/// What the command line says.
pub(crate) struct Given {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) namespaces: Vec<String>,
    pub(crate) logs_of: Vec<String>,
    pub(crate) alertmanager: Option<String>,
    pub(crate) kubelet: bool,
    pub(crate) cluster: Option<String>,
}

pub(crate) async fn run(config: &Config, given: Given) -> Result<Exit> {
    let client = kube::connect(config.kube.context.as_deref()).await?;
    let Given { dir, namespaces, logs_of, alertmanager, kubelet, cluster } = given;
    let dir = folder::make(dir, "capture")?;
    let cluster = config.cluster_name(cluster);
    let kubelet = kubelet.then(|| Journal {
        directory: config.kubelet.journal_directory.clone(),
        units: config.kubelet.units.clone().unwrap_or_else(|| KUBELETS.map(str::to_owned).to_vec()),
        ..Journal::default()
    });
    let wanted = Wanted { dir: dir.clone(), cluster, namespaces, logs_of, alertmanager, kubelet };
    let progress = Progress::start("reading the cluster");
    let taken = tokio::select! {
        taken = snapshot::take(client, &wanted, clock::wall, |what| eprintln!("kwhy: left out: {what}")) => taken,
        () = crate::stop() => {
            progress.end();
            return Err(anyhow!("stopped; what is in {} is not whole", dir.display()));
        }
    };
    progress.end();
    let taken = match taken {
        Ok(taken) => taken,
        Err(error) => {
            let read = matches!(error, SnapshotError::Api(_) | SnapshotError::Nothing);
            folder::forget(&dir);
            eprintln!("kwhy: {:#}", anyhow!(error));
            return Ok(if read { Exit::NothingRead } else { Exit::Wrong });
        }
    };
    let mut what = vec![
        format!("{} objects", taken.objects),
        format!("{} events", taken.events),
        format!("{} logs", taken.logs),
    ];
    what.extend(taken.alerts.map(|count| format!("{count} alerts")));
    what.extend(taken.kubelet.map(|node| format!("the kubelet log of {node}")));
    eprintln!("captured {}; next: kwhy diagnose {}", what.join(", "), dir.display());
    Ok(Exit::Nothing)
}
