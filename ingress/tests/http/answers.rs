//! Answers to requests that the ingress refuses.

use std::fmt::Write as _;

use crate::service::{NOW, Service, event, inbox, problem};
use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use testkit::recordings::{self, sign, webhook_secret};
use testkit::{NatsServer, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ID: &str = "f9fc2ade-fae3-4865-a48c-7fb4d921559e";
const OTHER_SECRET: &str = "whsec_YW5vdGhlci13ZWJob29rLXNlY3JldC0wMTIzNDU2Nzg5YWI=";

async fn check(request: RequestBuilder, status: StatusCode, detail: &str) {
    let given = problem(request.send().await.unwrap(), status).await;
    assert!(given.contains(detail), "{given:?} does not say {detail:?}");
}

/// A webhook with this timestamp, signature and body.
fn webhook(service: &Service, timestamp: &str, signature: &str, body: &str) -> RequestBuilder {
    service
        .post()
        .header("content-type", "application/json")
        .header("webhook-id", ID)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(body.to_owned())
}

#[tokio::test]
async fn an_invalid_signature_is_401_and_the_answer_says_why() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let secret = webhook_secret();
    let now = NOW.to_string();
    let unauthorized = StatusCode::UNAUTHORIZED;

    let unsigned = service.post().header("content-type", "application/json").body("{}");
    check(unsigned, unauthorized, "not signed").await;
    let half = service.post().header("content-type", "application/json").header("webhook-id", ID).body("{}");
    check(half, unauthorized, "webhook-timestamp, webhook-signature").await;
    let wrong_secret = sign(OTHER_SECRET, ID, NOW, "{}");
    let mismatch = "webhook-signature does not match";
    check(webhook(&service, &now, &wrong_secret, "{}"), unauthorized, mismatch).await;
    let right = sign(&secret, ID, NOW, "{}");
    check(webhook(&service, &now, &right, "{ }"), unauthorized, mismatch).await;
    check(webhook(&service, &now, "garbage", "{}"), unauthorized, mismatch).await;
    check(webhook(&service, &(NOW - 1).to_string(), &right, "{}"), unauthorized, mismatch).await;
    for (offset, detail) in [(-301, "in the past"), (301, "in the future")] {
        let signature = sign(&secret, ID, NOW + offset, "{}");
        check(webhook(&service, &(NOW + offset).to_string(), &signature, "{}"), unauthorized, detail).await;
    }
    check(webhook(&service, "yesterday", &right, "{}"), unauthorized, "not a number of seconds").await;
    check(webhook(&service, "-9223372036854775808", &right, "{}"), unauthorized, "in the past").await;
    // The signature is checked before the body is parsed.
    check(webhook(&service, &now, "v1,x", "not JSON"), unauthorized, mismatch).await;

    assert!(inbox(&nats).await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn one_valid_signature_with_any_secret_is_enough() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let secrets = format!("{OTHER_SECRET},{}", webhook_secret());
    let service = Service::start_with(&server, &["--webhook-secrets", &secrets]).await;
    service.wait_until_ready().await;

    let (id, body) = event(1);
    let answer = service.signed(&id, &body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let several = format!("v1,wrong v1a,other {}", sign(OTHER_SECRET, ID, NOW, "{}"));
    let answer = webhook(&service, &NOW.to_string(), &several, "{}").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);

    let subjects: Vec<_> = inbox(&nats).await.into_iter().map(|stored| stored.subject).collect();
    // The second webhook has no event, so its id comes from the signed header.
    assert_eq!(subjects, [format!("authentik.inbox.{id}"), format!("authentik.inbox.{ID}")]);
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let bad_request = StatusCode::BAD_REQUEST;

    let deep = "[".repeat(200_000);
    for body in ["", "{\"event\": {\"id\": \"", "event_type=login", "{} {}", "\u{feff}{}", "\0", &deep] {
        check(service.signed(ID, body), bad_request, "not JSON").await;
    }
    let bytes: Vec<u8> = b"{\"name\": \"\xff\xfe\"}".to_vec();
    check(service.signed(ID, "{}").body(bytes), bad_request, "not UTF-8").await;

    assert!(inbox(&nats).await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_whatever_its_content_length_says() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let too_large = StatusCode::PAYLOAD_TOO_LARGE;
    let json = |length: usize| format!("\"{}\"", "a".repeat(length - 2));

    check(service.signed(ID, &json(256 * 1024 + 1)), too_large, "256 KiB").await;
    let chunks = json(256 * 1024 + 1).into_bytes();
    let chunks = stream::iter(
        chunks.chunks(8192).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>).collect::<Vec<_>>(),
    );
    check(service.signed(ID, "").body(Body::wrap_stream(chunks)), too_large, "256 KiB").await;
    // The `Content-Length` alone suffices; the body is never sent.
    let answer = raw(&service, "Content-Length: 99999999999", "").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let answer = service.signed(ID, &json(256 * 1024)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(inbox(&nats).await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn only_json_is_accepted() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::ready(&server).await;
    let unsupported = StatusCode::UNSUPPORTED_MEDIA_TYPE;

    check(service.post().body("{}"), unsupported, "Content-Type").await;
    for other in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=json"] {
        check(service.post().header("content-type", other).body("{}"), unsupported, "Content-Type").await;
    }
    for json in ["text/json", "application/json; charset=utf-8"] {
        let request = service.client.post(service.url(ingress::WEBHOOK_PATH)).body("{}");
        // The media type is accepted, so the missing signature is the next reason to refuse.
        check(request.header("content-type", json), StatusCode::UNAUTHORIZED, "not signed").await;
    }
    assert!(inbox(&nats).await.is_empty());
    service.stop().await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_answered_with_problem_details() {
    let server = NatsServer::start().await;
    server.provisioned().await;
    let service = Service::ready(&server).await;

    for path in ["/", "/authentik", "/authentik/webhook/x", "/authentik/webhooks", "/%ff"] {
        problem(service.get(path).await, StatusCode::NOT_FOUND).await;
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = service.client.request(method, service.url(ingress::WEBHOOK_PATH)).send().await.unwrap();
        assert_eq!(answer.headers()["allow"], "POST");
        problem(answer, StatusCode::METHOD_NOT_ALLOWED).await;
    }
    let answer = service.client.post(service.url("/healthz")).send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "GET, HEAD");
    problem(answer, StatusCode::METHOD_NOT_ALLOWED).await;
    assert_eq!(service.get("/healthz").await.status(), StatusCode::OK);
    service.stop().await;
}

#[tokio::test]
async fn unsigned_webhooks_are_accepted_if_the_settings_allow_them() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let secret = webhook_secret();
    let arguments = ["--webhook-allow-unsigned=true", "--webhook-secrets", &secret];
    let service = Service::start_with(&server, &arguments).await;
    service.wait_until_ready().await;

    let body = "{\"event_type\": \"model_created\", \"pk\": 1}";
    for _ in 0..2 {
        let answer =
            service.post().header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    let answer = service.replay(&recordings::webhook("no_mapping_default_body")).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    service.set_clock(NOW);
    // A webhook that carries a signature must carry a valid one.
    check(webhook(&service, &NOW.to_string(), "v1,x", body), StatusCode::UNAUTHORIZED, "webhook-signature")
        .await;

    // Bodies without an event are separate deliveries, even if they are equal.
    let stored = inbox(&nats).await;
    assert_eq!(
        stored.iter().map(|stored| stored.payload == body.as_bytes()).collect::<Vec<_>>(),
        [true, true, false]
    );
    service.stop().await;
}

#[tokio::test]
async fn without_secrets_the_header_does_not_set_the_id() {
    let server = NatsServer::start().await;
    let nats = server.provisioned().await;
    let service = Service::start_with(&server, &["--webhook-allow-unsigned"]).await;
    service.wait_until_ready().await;
    let answer = webhook(&service, "1", "v1,x", "{}").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert!(!inbox(&nats).await[0].subject.contains(ID));
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let server = NatsServer::start().await;
    server.provisioned().await;
    let service = Service::ready(&server).await;
    let answer = raw(&service, "Content-Length: 100", "{").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("application/problem+json"), "{answer}");
    let metrics = service.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("ingress_webhooks_total{outcome=\"timeout\"} 1"), "{metrics}");
    service.stop().await;
}

#[tokio::test]
async fn without_streams_webhooks_are_503() {
    let server = NatsServer::start().await;
    let service = Service::start(&server).await;
    let (id, body) = event(1);
    assert_eq!(service.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer = service.signed(&id, &body).send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"));
    problem(answer, StatusCode::SERVICE_UNAVAILABLE).await;

    let nats = server.provisioned().await;
    service.wait_until_ready().await;
    eventually("the webhook is stored", || async {
        (service.signed(&id, &body).send().await.unwrap().status() == StatusCode::NO_CONTENT).then_some(())
    })
    .await;

    nats.jetstream.delete_stream(nats.namespace.inbox_stream()).await.unwrap();
    problem(service.signed(&id, &body).send().await.unwrap(), StatusCode::SERVICE_UNAVAILABLE).await;
    service.stop().await;
}

/// Sends a webhook with these header lines over plain TCP and reads until the server closes the connection.
async fn raw(service: &Service, headers: &str, body: &str) -> String {
    let mut request = String::new();
    write!(request, "POST {} HTTP/1.1\r\nHost: localhost\r\n", ingress::WEBHOOK_PATH).unwrap();
    write!(request, "Content-Type: application/json\r\n{headers}\r\n\r\n{body}").unwrap();
    let mut connection = TcpStream::connect(&service.address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}
