//! `kwhy collect`: one live source in a process of its own.

mod alerts;
mod kube;
mod kubelet;

use anyhow::Result;

use crate::{
    args::{CollectCommand, Of},
    config::Config,
    exit::Exit,
};

pub(crate) async fn run(config: &Config, command: CollectCommand) -> Result<Exit> {
    match command {
        CollectCommand::Alerts { listen, of: Of { nats, cluster } } => {
            alerts::run(config, listen, nats, cluster).await
        }
        CollectCommand::Kube { of: Of { nats, cluster }, context, listen } => {
            kube::run(config, kube::Given { nats, cluster, context, listen }).await
        }
        CollectCommand::Kubelet { logs, of: Of { nats, cluster }, listen } => {
            kubelet::run(config, logs, kubelet::To { nats, cluster, listen }).await
        }
    }
}
