//! The message that tells the user how to start, once everything is ready.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::parts::Addresses;

/// Waits until ingress and api are ready, then prints the message to standard output.
pub(crate) async fn when_ready(addresses: &Addresses) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .build()
        .context("creating an HTTP client")?;
    let begin = Instant::now();
    for (name, url) in [("ingress", &addresses.ingress), ("api", &addresses.front_end)] {
        let mut n_tries = 0_u32;
        while !is_ready(&client, url).await {
            n_tries += 1;
            if n_tries.is_multiple_of(50) {
                tracing::info!("waiting for {name}: see {url}/readyz");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    tracing::debug!("ready after {:?}", begin.elapsed());
    std::io::stdout().write_all(text(addresses).as_bytes()).context("writing to standard output")
}

async fn is_ready(client: &reqwest::Client, url: &str) -> bool {
    client.get(format!("{url}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success())
}

fn text(addresses: &Addresses) -> String {
    let Addresses { front_end, authentik, admin_token, ingress, projector } = addresses;
    format!(
        "
authentik-events is ready.

  Front end   {front_end}            sign in as akadmin / akadmin-password (sees everything)
                                               or grace / grace-password (sees herself)
  API         {front_end}/api/docs
  authentik   {authentik}            a simulator; administrator token {admin_token:?}
  ingress     {ingress}/metrics     projector {projector}/metrics

Register a user and watch the front end:

  curl -X POST {authentik}/api/v3/core/users/ -H 'Authorization: Bearer {admin_token}' \\
    -H 'Content-Type: application/json' -d '{{\"username\": \"mary\", \"name\": \"Mary Jackson\"}}'

Press Ctrl-C to stop. The data remain in the data directory.

"
    )
}
