//! Delivers webhooks over HTTP/1.1. Costs little CPU time itself: requests are built beforehand, and of an answer it
//! reads only the status.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use runtime::clock;
use testkit::recordings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep_until;

/// What the servers answer to a webhook that they have stored.
const STORED: &[u8] = b"HTTP/1.1 204 ";

/// Signed requests that each deliver another webhook.
pub struct Webhooks(Vec<Vec<u8>>);

impl Webhooks {
    /// Builds requests from a recorded webhook, with new ids.
    pub fn new(n_webhooks: usize) -> anyhow::Result<Self> {
        let recorded = recordings::webhook("user_created");
        let recorded_id = recorded.header("webhook-id").context("a recorded webhook has an id")?;
        let agent = recorded.header("user-agent").context("a recorded webhook has a user agent")?;
        let (secret, now) = (recordings::webhook_secret(), clock::now().unix_seconds());
        let requests = (0..n_webhooks).map(|_| {
            let id = clock::new_id().to_string();
            let body = recorded.body.replace(recorded_id, &id);
            let signature = recordings::sign(&secret, &id, now, &body);
            let request = format!(
                "POST {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\nAccept-Encoding: gzip, deflate, zstd\r\n\
                 Accept: */*\r\nConnection: keep-alive\r\nContent-Type: application/json\r\nwebhook-id: {id}\r\n\
                 webhook-timestamp: {now}\r\nwebhook-signature: {signature}\r\nContent-Length: {}\r\n\r\n{body}",
                ingress::WEBHOOK_PATH,
                body.len()
            );
            request.into_bytes()
        });
        Ok(Self(requests.collect()))
    }

    /// Delivers all webhooks over `n_connections`, each the next one after an answer. Returns the elapsed seconds.
    pub async fn deliver(self, address: &str, n_connections: usize) -> anyhow::Result<f64> {
        let (requests, next) = (Arc::new(self.0), Arc::new(AtomicUsize::new(0)));
        let connections = try_join_all((0..n_connections).map(|_| Connection::open(address))).await?;
        let start = Instant::now();
        let deliveries = connections.into_iter().map(|mut connection| {
            let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
            tokio::spawn(async move {
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    connection.deliver(request).await?;
                }
                anyhow::Ok(())
            })
        });
        for delivery in try_join_all(deliveries).await.context("a delivery panicked")? {
            delivery?;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// Delivers the webhooks at a constant rate, over as many connections as authentik's workers could use. Returns
    /// the seconds that each took, counted from when it was due if its connection was busy then.
    pub async fn deliver_at(self, address: &str, per_second: u32) -> anyhow::Result<Vec<f64>> {
        const N_CONNECTIONS: usize = 64;
        let requests = Arc::new(self.0);
        let connections = try_join_all((0..N_CONNECTIONS).map(|_| Connection::open(address))).await?;
        let start = tokio::time::Instant::now();
        let deliveries = connections.into_iter().enumerate().map(|(first, mut connection)| {
            let requests = Arc::clone(&requests);
            tokio::spawn(async move {
                let mut durations = vec![];
                for (n, request) in requests.iter().enumerate().skip(first).step_by(N_CONNECTIONS) {
                    let due = start + Duration::from_secs(1) / per_second * u32::try_from(n)?;
                    let is_late = due < tokio::time::Instant::now();
                    sleep_until(due).await;
                    // The timer of tokio is up to 1 ms late, which is not the server's delay.
                    let begin = if is_late { due.into_std() } else { Instant::now() };
                    connection.deliver(request).await?;
                    durations.push(begin.elapsed().as_secs_f64());
                }
                anyhow::Ok(durations)
            })
        });
        let mut all = vec![];
        for durations in try_join_all(deliveries).await.context("a delivery panicked")? {
            all.extend(durations?);
        }
        Ok(all)
    }
}

/// A connection that is kept open.
struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting to a server")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        Ok(Self { stream, answer: Vec::with_capacity(1024) })
    }

    /// Sends a request and reads its answer, which has no body.
    async fn deliver(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await.context("sending a webhook")?;
        self.answer.clear();
        while !self.answer.ends_with(b"\r\n\r\n") {
            let n_bytes = self.stream.read_buf(&mut self.answer).await.context("reading an answer")?;
            ensure!(n_bytes > 0, "a server has closed the connection");
            ensure!(
                self.answer.len() < STORED.len() || self.answer.starts_with(STORED),
                "a webhook was answered with {}",
                String::from_utf8_lossy(&self.answer)
            );
        }
        Ok(())
    }
}
