//! The API server and what it lets kwhy do.

use kwhy_collect::kube;

use super::check::Check;
use crate::config::Config;

pub(crate) async fn checks(config: &Config) -> Vec<Check> {
    let client = match kube::connect(config.kube.context.as_deref()).await {
        Ok(client) => client,
        Err(error) if !config.kube.watch => {
            return vec![Check::off(
                "cluster",
                error.to_string(),
                "to watch a cluster set kube.watch in kwhy.yaml",
            )];
        }
        Err(error) => {
            return vec![Check::missing(
                "cluster",
                format!("{:#}", anyhow::Error::new(error)),
                "kubectl config get-contexts",
            )];
        }
    };
    match kube::refused(client).await {
        Ok(refused) if refused.is_empty() => {
            vec![Check::ok("rbac", "kwhy may read all that it watches, and logs of pods")]
        }
        Ok(refused) => refused
            .into_iter()
            .map(|refused| {
                let verbs = refused.verbs.join(" and ");
                let mend = format!("add to the ClusterRole of kwhy, under rules:\n  {}", refused.rule);
                Check::missing("rbac", format!("kwhy may not {verbs} {}", refused.what), mend)
            })
            .collect(),
        Err(error) => {
            let said =
                format!("the API server does not say what kwhy may do: {:#}", anyhow::Error::new(error));
            vec![Check::missing("cluster", said, "kubectl cluster-info && kubectl auth whoami")]
        }
    }
}
