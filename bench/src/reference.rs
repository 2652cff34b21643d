//! The reference for the ingress: the least that stores a webhook once. Bare hyper and async-nats, one conditional
//! publish per request, and an answer after its acknowledgement. It verifies and parses nothing.

use std::convert::Infallible;

use anyhow::Context;
use async_nats::HeaderMap;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::server::ServerConfig;

/// Serves until the process is killed.
pub async fn serve(config: ServerConfig) -> anyhow::Result<()> {
    let client = async_nats::connect(&config.nats.nats_url).await.context("connecting to NATS")?;
    let prefix = format!("{}.inbox", config.nats.nats_namespace);
    let listener = TcpListener::bind(&config.listen).await.context("listening")?;
    loop {
        let (connection, _) = listener.accept().await.context("accepting a connection")?;
        connection.set_nodelay(true).context("setting TCP_NODELAY")?;
        tokio::spawn(serve_connection(connection, client.clone(), prefix.clone()));
    }
}

async fn serve_connection(connection: TcpStream, client: async_nats::Client, prefix: String) {
    let answer = service_fn(async |request| {
        let status = store(&client, &prefix, request).await.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = status;
        Ok::<_, Infallible>(response)
    });
    // An error means that the client has closed the connection.
    let _ =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), answer).await;
}

async fn store(
    client: &async_nats::Client,
    prefix: &str,
    request: Request<Incoming>,
) -> anyhow::Result<StatusCode> {
    // The client asks for readiness.
    if request.method() != Method::POST {
        return Ok(StatusCode::OK);
    }
    let (parts, body) = request.into_parts();
    let id = parts.headers.get("webhook-id").context("a webhook has an id")?.to_str()?;
    let payload = body.collect().await?.to_bytes();
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    let publish = async_nats::Request::new().headers(headers).payload(payload);
    let answer = client.send_request(format!("{prefix}.{id}"), publish).await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
    anyhow::ensure!(answer["error"].is_null(), "JetStream refused a webhook: {answer}");
    Ok(StatusCode::NO_CONTENT)
}
