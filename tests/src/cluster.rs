//! Three nats-servers that keep three copies of what kwhy stores.

use std::{net::TcpListener, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Client, NatsServer, eventually, nats_server};

/// The streams of kwhy, the snapshots among them.
const STREAMS: [&str; 4] = ["KWHY_IN", "KWHY_OUT", "KWHY_ASK", "OBJ_KWHY_SNAP"];

/// A cluster on loopback.
#[derive(Debug)]
pub struct NatsCluster {
    /// Where its servers answer, separated by commas.
    pub url: String,
    servers: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts three servers and waits until they have agreed on a leader.
    ///
    /// # Panics
    /// Where they do not.
    pub async fn start() -> Self {
        let free: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let ports: Vec<u16> = free.iter().map(|it| it.local_addr().expect("an address").port()).collect();
        drop(free);
        let routes: Vec<String> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let routes = routes.join(", ");
        let servers: Vec<NatsServer> = (0..)
            .zip(&ports)
            .map(|(n, port)| {
                let cluster = format!(
                    "server_name: {}\ncluster {{ name: kwhy, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}\n",
                    name(n)
                );
                NatsServer::with(&nats_server(), &cluster)
            })
            .collect();
        let urls: Vec<&str> = servers.iter().map(|server| server.url.as_str()).collect();
        let url = urls.join(",");
        let cluster = Self { url, servers };
        let client = Client::connect(&cluster.url).await;
        eventually("leader of the cluster", async || client.api("INFO", &Value::Null).await).await;
        cluster
    }

    /// Keeps three copies of every stream that kwhy has made, and waits until they are there.
    ///
    /// # Panics
    /// Where they do not come to be.
    pub async fn keep_three(&self, client: &Client) {
        for stream in STREAMS {
            // The store of snapshots is made with the first of them.
            let info = format!("STREAM.INFO.{stream}");
            if client.api(&info, &Value::Null).await.is_none_or(|info| info.get("error").is_some()) {
                continue;
            }
            client.edit(stream, json!({"num_replicas": 3})).await;
            eventually("three copies", async || {
                let info = client.api(&info, &Value::Null).await?;
                let copies = info.pointer("/cluster/replicas")?.as_array()?;
                (copies.len() == 2 && copies.iter().all(|copy| copy["current"] == true)).then_some(())
            })
            .await;
        }
    }

    /// Which server leads a stream; none where none does at this moment.
    pub async fn leader(&self, client: &Client, stream: &str) -> Option<usize> {
        let info = client.api(&format!("STREAM.INFO.{stream}"), &Value::Null).await?;
        let leader = info.pointer("/cluster/leader")?.as_str()?.to_owned();
        (0..self.servers.len()).find(|n| name(*n) == leader)
    }

    /// Kills a server, lets it be dead for a while, and starts it again on its store.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub async fn kill_for(&mut self, server: usize, pause: Duration) {
        let server = self.servers.get_mut(server).expect("one of three");
        server.kill();
        tokio::time::sleep(pause).await;
        server.restart();
    }

    /// Lets all servers but this one stand still for a while, so that it is in the minority.
    pub async fn leave_alone_for(&self, server: usize, pause: Duration) {
        let others = || self.servers.iter().enumerate().filter(|(n, _)| *n != server);
        others().for_each(|(_, other)| other.signal(Signal::STOP));
        tokio::time::sleep(pause).await;
        others().for_each(|(_, other)| other.signal(Signal::CONT));
    }
}

fn name(server: usize) -> String {
    format!("n{server}")
}
