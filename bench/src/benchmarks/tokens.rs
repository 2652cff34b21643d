//! Caching verified tokens, against verifying each token again.

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Client;

use crate::compare::{Comparison, Done, Plan, Unit, Way};
use crate::hosts::{self, Authentik};
use crate::server::Server;

/// A request with a small answer.
const PATH: &str = "/api/groups?limit=1";

/// Number of concurrent requests.
const AT_ONCE: usize = 8;

pub async fn run(plan: &Plan) -> anyhow::Result<Vec<Comparison>> {
    let (server, _nats) = hosts::nats().await;
    let authentik = Authentik::start().await?;
    let api = Server::start(plan, Way::AsItIs, &server.url(), &authentik.issuer()).await?;
    let client = Client::new();
    let n_requests = plan.size(500, 5);
    let comparison = Comparison {
        benchmark: "tokens",
        case: format!("{n_requests} requests, with one token or one each"),
        unit: Unit::CpuSeconds,
        item: "request",
        rounds: vec![],
    };
    let measure = async |way| {
        // The API verifies each token that it has not seen yet.
        let n_tokens = if way == Way::AsItIs { 1 } else { n_requests };
        let tokens = stream::iter(0..n_tokens).then(|_| authentik.token()).collect::<Vec<_>>().await;
        if way == Way::AsItIs {
            get(&client, &api, &tokens[0]).await?;
        }
        let start = api.cpu_seconds()?;
        let requests =
            stream::iter(tokens.iter().cycle().take(n_requests)).map(|token| get(&client, &api, token));
        let answers: Vec<()> = requests.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(Done { n_items: u64::try_from(answers.len())?, cost: api.cpu_seconds()? - start })
    };
    Ok(vec![comparison.measure(plan, measure).await?])
}

async fn get(client: &Client, api: &Server, token: &str) -> anyhow::Result<()> {
    let answer = client.get(format!("{}{PATH}", api.url)).bearer_auth(token).send().await;
    let answer = answer.context("sending a request to the API")?;
    ensure!(answer.status() == 200, "the API answered {}", answer.status());
    answer.bytes().await.context("reading the API's answer")?;
    Ok(())
}
