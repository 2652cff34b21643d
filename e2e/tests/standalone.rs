//! The process that `make run` starts: web page, API and a simulator of authentik in one.

use e2e::feed::Received;
use e2e::process::Process;
use e2e::{Authentik, Feed};
use serde_json::{Value, json};
use testkit::free_port;

#[tokio::test]
async fn a_registration_appears_live_and_survives_a_restart() {
    let directory = tempfile::tempdir().expect("creating a directory");
    let ports: Vec<u16> = (0..5).map(|_| free_port()).collect();
    let [front_end, authentik_port, ..] = ports[..] else { unreachable!("five ports") };
    let page = directory.path().join("page");
    std::fs::create_dir(&page).expect("creating a directory");
    std::fs::write(page.join("index.html"), "the page").expect("writing a page");
    let environment = vec![
        ("STANDALONE_DATA_DIR", directory.path().join("data").display().to_string()),
        ("NATS_SERVER", testkit::nats::binary().display().to_string()),
        ("API_STATIC_DIR", page.display().to_string()),
        ("STANDALONE_PORT", front_end.to_string()),
        ("STANDALONE_AUTHENTIK_PORT", authentik_port.to_string()),
        ("STANDALONE_INGRESS_PORT", ports[2].to_string()),
        ("STANDALONE_PROJECTOR_PORT", ports[3].to_string()),
        ("STANDALONE_NATS_PORT", ports[4].to_string()),
    ];
    let url = format!("http://localhost:{front_end}");
    let mut standalone = Process::start("standalone", directory.path(), environment);
    standalone.ready(&url).await;

    let text = async |path: &str| {
        let answer = reqwest::get(format!("{url}{path}")).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    let (status, html) = text("/").await;
    assert_eq!((status, html.as_str()), (200, "the page"));
    let (_, config) = text("/config.json").await;
    let config: Value = serde_json::from_str(&config).expect("the configuration is JSON");
    assert_eq!(
        config["issuer"],
        format!("http://localhost:{authentik_port}/application/o/authentik-events/")
    );

    let authentik = Authentik::new(format!("http://localhost:{authentik_port}"), "admin-token".to_owned());
    let mut feed = Feed::from_the_beginning(&url, authentik.token("akadmin").await);
    let pk = authentik.create_user("mary").await;
    let about_mary = |received: &[Received]| {
        let subject = json!(format!("user/{pk}"));
        received.iter().filter(|received| received.data["subject"] == subject).count()
    };
    feed.read_until("mary is registered", |received| about_mary(received) == 1).await;
    assert_eq!(feed.types_of(pk), ["user-registered"]);

    // A graceful shutdown stops nats-server, too. The next start finds all data again.
    standalone.terminate().await;
    standalone.restart().await;
    standalone.ready(&url).await;
    authentik.update_user(pk, json!({"name": "Mary Jackson"})).await;
    feed.read_until("mary is renamed", |received| about_mary(received) == 2).await;
    assert_eq!(feed.types_of(pk), ["user-registered", "user-updated"]);
    standalone.terminate().await;
}
