//! The server configurations in `nats/` are what nats-server takes, and make of an acknowledgement what is promised.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::path::Path;
use std::process::Command;

use async_nats::jetstream::stream::Config;
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use store::log::EventLog;
use testkit::cluster::N_NODES;
use testkit::{NatsCluster, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What nats-server says of a configuration that it only looks at.
fn check(file: &str) {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(testkit::nats::binary())
        .arg("-t")
        .arg("--config")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats").join(file))
        .env("NATS_STORE_DIR", directory.path())
        .envs(testkit::nats::passwords())
        .env("NATS_NODE", "nats-1")
        .env("NATS_ROUTES", "[nats://route:a@nats-1:6222, nats://route:a@nats-2:6222]")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nats_server_takes_the_configuration_of_one_node() {
    check("nats-server.conf");
    let text = std::fs::read_to_string("../nats/nats-server.conf").unwrap();
    assert!(text.contains("sync_interval: always"), "accepted means stored: see nats/README.md");
}

#[test]
fn nats_server_takes_the_configuration_of_a_node_of_three() {
    check("cluster.conf");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_three_nodes_has_every_stream_and_writes_to_disk_before_it_acknowledges() {
    let cluster = NatsCluster::start().await;
    let nats = cluster.provisioned().await;
    let bucket = nats.namespace.projection_bucket("users", 1);
    eventually("the bucket is made", || async {
        runtime::provision::ensure_projection_bucket(&nats, &bucket, 3).await.ok()
    })
    .await;

    let streams: Vec<_> = nats.jetstream.streams().try_collect().await.unwrap();
    let names: Vec<_> = streams.iter().map(|stream| stream.config.name.as_str()).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    for stream in &streams {
        assert_eq!(stream.config.num_replicas, N_NODES, "{}", stream.config.name);
    }
    for node in 0..N_NODES {
        let url = format!("{}/varz", cluster.monitor_url(node));
        let about: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(about["jetstream"]["config"]["sync_always"], json!(true), "{}", about["jetstream"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_password_of_the_nodes_is_taken_for_none() {
    let cluster = NatsCluster::start().await;
    let mut stranger = TcpStream::connect(cluster.route_address(0)).await.unwrap();
    let (password, api) = ("", testkit::nats::password("api"));
    for (user, password) in [("route", password), ("api", api.as_str())] {
        let connect = json!({"user": user, "pass": password, "name": "stranger", "verbose": false});
        stranger.write_all(format!("CONNECT {connect}\r\n").as_bytes()).await.unwrap();
        let mut said = String::new();
        let read = stranger.read_to_string(&mut said);
        tokio::time::timeout(testkit::wait::DEADLINE, read).await.unwrap().unwrap();
        assert!(said.contains("-ERR 'Authorization Violation'"), "{said}");
        stranger = TcpStream::connect(cluster.route_address(0)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_node_are_raised_to_three_with_what_they_hold() {
    let mut cluster = NatsCluster::start().await;
    let nats = cluster.connect().await;
    testkit::nats::provisioned(&nats, 1).await;
    let epoch = EventLog::open(&nats).await.unwrap().epoch().to_owned();
    assert_eq!(
        runtime::provision::provision(&nats, 3).await.unwrap().len(),
        4,
        "all differ, none is changed"
    );
    let streams: Vec<_> = nats.jetstream.streams().try_collect().await.unwrap();
    for stream in streams {
        let raised = Config { num_replicas: N_NODES, ..stream.config };
        eventually("replicas are raised", || async { nats.jetstream.update_stream(&raised).await.ok() })
            .await;
    }
    assert_eq!(runtime::provision::provision(&nats, 3).await.unwrap(), Vec::<String>::new());
    let names = [nats.namespace.inbox_stream(), nats.namespace.events_stream()];
    for name in names {
        eventually(&format!("two more nodes have all of {name}"), || async {
            let info = nats.jetstream.get_stream(&name).await.ok()?;
            let replicas = &info.cached_info().cluster.as_ref()?.replicas;
            (replicas.len() == 2 && replicas.iter().all(|replica| replica.current)).then_some(())
        })
        .await;
    }
    let leader = cluster.leader(&nats, &nats.namespace.events_stream()).await;
    cluster.kill(leader).await;
    eventually("another node has the log", || async {
        (EventLog::open(&nats).await.ok()?.epoch() == epoch).then_some(())
    })
    .await;
}
