//! A collector that knows only the leaf node beside it, with no right but to publish.

use kwhy_tests::{CLUSTER, Kwhy};

use crate::world::{Arrived, JETSTREAM, Log, Nats, collect, make_streams};

/// A hub with JetStream, on which leaf nodes may publish the signals of the cluster and hear the answers.
fn hub() -> (Nats, String) {
    let config = format!(
        r#"{JETSTREAM}
# For the test's own look at what has arrived.
no_auth_user: engine
leafnodes {{ listen: "127.0.0.1:-1" }}
accounts {{
  KWHY {{
    jetstream: enabled
    users: [
      {{ user: engine, password: e }}
      {{ user: node, password: n, permissions {{
          publish: ["kwhy.in.{CLUSTER}.>"]
          subscribe: ["_INBOX.>"]
      }} }}
    ]
  }}
}}
"#
    );
    let hub = Nats::start(&config);
    let url = hub.url.replace("nats://", "nats://engine:e@");
    (hub, url)
}

#[tokio::test]
async fn lines_reach_the_hub_through_a_leaf_with_the_right_to_publish_alone() {
    let kwhy = Kwhy::new();
    let (hub, engine) = hub();
    make_streams(&kwhy, &engine);
    let direct = hub.url.replace("nats://", "nats://node:n@");
    let mut log = Log::new(&kwhy);
    log.write(150);
    let collector = collect(&kwhy, &direct, &log);
    Arrived::until(&hub.url, 150).await.assert_each_once(150);
    drop(collector);

    let remote = hub_leaf_address(&hub);
    let leaf = Nats::start(&format!(
        r#"leafnodes {{ remotes: [ {{ url: "nats://node:n@{remote}" }} ] }}
"#
    ));
    log.write(150);
    let collector = collect(&kwhy, &leaf.url, &log);
    Arrived::until(&hub.url, 300).await.assert_each_once(300);
    drop(collector);
}

fn hub_leaf_address(hub: &Nats) -> String {
    // It says so before it is ready, so it has been read; the address stands in what it said.
    let said = hub.process.said();
    let address = said.lines().find_map(|line| line.split_once("Listening for leafnode connections on "));
    address.expect("it listens for leaf nodes").1.trim().to_owned()
}
