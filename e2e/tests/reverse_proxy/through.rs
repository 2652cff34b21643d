//! A whole installation behind each of the shipped configurations.

use std::net::IpAddr;
use std::time::Duration;

use e2e::System;
use e2e::system::Setup;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::time::timeout;

use crate::browser;
use crate::site::{FORWARD_AUTH, Kind, PLAIN, Places, Site, publishing_webhooks};
use crate::stand_ins::{CLIENT_ID, ISSUER, Outpost, SECRET, claims, cookie, sign};

/// An installation that trusts proxies at 127.0.0.1, with the user mary.
struct World {
    system: System,
    outpost: Outpost,
    mary: i64,
    uid: String,
}

impl World {
    async fn start() -> Self {
        let api_settings = vec![
            ("API_PROXY_SECRET", SECRET.to_owned()),
            ("API_PROXY_ISSUER", ISSUER.to_owned()),
            ("API_PROXY_AUDIENCE", CLIENT_ID.to_owned()),
            ("API_TRUSTED_PROXIES", "127.0.0.1".to_owned()),
        ];
        // Without sweeps, only the API's lookup finds a user whom authentik reports by no event.
        let setup = Setup { api_settings, sweep_interval: 0, ..Setup::default() };
        let system = System::start_with(setup).await;
        let mary = system.authentik.create_user("mary").await;
        eventually("mary is recorded", || async {
            (system.get(&format!("/api/users/{mary}"), "akadmin").await.0 == 200).then_some(())
        })
        .await;
        let uid = system.authentik.find_user(mary).await.unwrap()["uid"].as_str().unwrap().to_owned();
        Self { system, outpost: Outpost::start().await, mary, uid }
    }

    fn places(&self) -> Places {
        let api = self.system.api_url.strip_prefix("http://").unwrap().parse().unwrap();
        Places { api, outpost: self.outpost.address }
    }

    /// Checks that mary reads only her own data, and that the site passes feed events on without delay.
    async fn check_feed(&self, site: &Site, as_mary: impl Fn(RequestBuilder) -> RequestBuilder) {
        let kind = site.kind;
        let get = |path: &str| as_mary(browser().get(format!("{}{path}", site.url)));
        let me: Value = get("/api/me").send().await.unwrap().json().await.unwrap();
        assert_eq!(me["pk"], json!(self.mary), "{kind:?}: {me}");
        assert_eq!(get("/api/users").send().await.unwrap().status().as_u16(), 403, "{kind:?}");

        let feed = get("/api/events/stream").header("Accept-Encoding", "gzip").send().await.unwrap();
        assert_eq!(feed.status().as_u16(), 200, "{kind:?}");
        assert_eq!(feed.headers()["content-type"], "text/event-stream", "{kind:?}");
        assert_eq!(feed.headers().get("content-encoding"), None, "{kind:?}");
        let mut feed = Feed { feed, text: String::new() };
        feed.read_until(": connected\n\n").await;
        let name = format!("Mary behind {kind:?}");
        self.system.authentik.update_user(self.mary, json!({"name": name})).await;
        feed.read_until(&format!(r#""name":"{name}""#)).await;
        feed.read_until("\n\n").await;
    }
}

/// A feed, read piece by piece.
struct Feed {
    feed: Response,
    text: String,
}

impl Feed {
    async fn read_until(&mut self, awaited: &str) {
        while !self.text.contains(awaited) {
            let piece = timeout(Duration::from_secs(10), self.feed.chunk()).await;
            let piece = piece.unwrap_or_else(|_| panic!("{awaited:?} did not arrive: {:?}", self.text));
            let piece = piece.unwrap().unwrap_or_else(|| panic!("the feed ended before {awaited:?}"));
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signed_in_at_the_proxy_is_known_to_the_api_and_gets_their_feed() {
    let world = World::start().await;
    world.outpost.sign_in("mary", &world.uid);
    for kind in FORWARD_AUTH {
        let site = Site::start(kind, world.places()).await;
        world.check_feed(&site, |request| request.header("Cookie", cookie("mary"))).await;
    }
    // A token short enough for nginx to accept it from a client.
    let mut short = claims(&world.uid);
    short["groups"] = json!(["navy"]);
    let proxied = sign(&short, SECRET.as_bytes());
    let own = world.system.authentik.token("mary").await;
    for kind in PLAIN {
        let site = Site::start(kind, world.places()).await;
        world.check_feed(&site, |request| request.bearer_auth(&own)).await;
        // The outpost's header is ignored if it comes from a client.
        let request = browser().get(format!("{}/api/me", site.url)).header("X-authentik-jwt", &proxied);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401, "{kind:?} {}", answer.text().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_proxy_provider_is_accepted_only_from_a_trusted_address() {
    let world = World::start().await;
    let good = sign(&claims(&world.uid), SECRET.as_bytes());
    let me = format!("{}/api/me", world.system.api_url);
    let refused = async |request: RequestBuilder, why: &str| {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401, "{why}");
        let problem: Value = answer.json().await.unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(why), "{detail}");
    };
    // From the trusted address.
    let from_proxy = |token: &str| Client::new().get(&me).header("X-authentik-jwt", token);
    assert_eq!(from_proxy(&good).send().await.unwrap().status().as_u16(), 200);
    assert_eq!(Client::new().get(&me).bearer_auth(&good).send().await.unwrap().status().as_u16(), 200);
    // From another address.
    let elsewhere: IpAddr = [127, 0, 0, 2].into();
    let stranger = Client::builder().local_address(elsewhere).build().unwrap();
    refused(stranger.get(&me).header("X-authentik-jwt", &good), "API_TRUSTED_PROXIES").await;
    refused(stranger.get(&me).bearer_auth(&good), "API_TRUSTED_PROXIES").await;
    let own = world.system.authentik.token("mary").await;
    assert_eq!(stranger.get(&me).bearer_auth(&own).send().await.unwrap().status().as_u16(), 200);

    // A public key must not work as the secret.
    let jwks = format!("{}/application/o/authentik-events/jwks/", world.system.authentik.url());
    let jwks = reqwest::get(jwks).await.unwrap().text().await.unwrap();
    let key = serde_json::from_str::<Value>(&jwks).unwrap()["keys"][0].clone();
    for public in [jwks, key.to_string(), key["n"].as_str().unwrap().to_owned()] {
        let forged = sign(&claims(&world.uid), public.as_bytes());
        refused(from_proxy(&forged), "the signature is wrong").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_unknown_to_the_api_who_comes_through_a_proxy_is_looked_up_by_name() {
    let world = World::start().await;
    let World { system, .. } = &world;
    system.authentik.change_without_event(json!({"op": "create_user", "username": "joan c."})).await;
    let state = system.authentik.state().await;
    let users = state["users"].as_array().unwrap();
    let joan = users.iter().find(|user| user["username"] == "joan c.").unwrap();
    let joan = system.authentik.find_user(joan["pk"].as_i64().unwrap()).await.unwrap();
    let mut claims = claims(joan["uid"].as_str().unwrap());
    claims["preferred_username"] = json!("joan c.");
    let token = sign(&claims, SECRET.as_bytes());
    let me = eventually("joan is recorded", || async {
        let request = Client::new().get(format!("{}/api/me", system.api_url));
        let answer = request.header("X-authentik-jwt", &token).send().await.ok()?;
        if answer.status().as_u16() == 200 { answer.json::<Value>().await.ok() } else { None }
    })
    .await;
    assert_eq!(me["pk"], joan["pk"]);
    let events = system.get(&format!("/api/users/{}/events", joan["pk"]), "akadmin").await.1;
    assert_eq!(events["events"][0]["channel"], "api", "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_of_webhooks_can_be_published_alone() {
    let world = World::start().await;
    let ingress = world.system.ingress_urls[0].clone();
    let publish = |text: String| publishing_webhooks(&text, &ingress);
    let site = Site::start_with(Kind::Nginx, world.places(), publish).await;
    let webhook = world.system.webhooks.last_accepted().unwrap();
    let (status, answer) = world.system.webhooks.post(&site.url, &webhook).await.unwrap();
    assert_eq!(status.as_u16(), 200, "the webhook was stored before: {answer}");
    let url = format!("{}/authentik/webhook", site.url);
    let unsigned = Client::new().post(&url).json(&json!({})).send().await.unwrap();
    assert_eq!(unsigned.status().as_u16(), 401);
    assert_eq!(Client::new().get(&url).send().await.unwrap().status().as_u16(), 403);
    let large = Client::new().post(&url).body("x".repeat(300 * 1024)).send().await.unwrap();
    assert_eq!(large.status().as_u16(), 413);
}
