//! Verified tokens are remembered, against verifying them each time.

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Client;

use crate::compare::{Comparison, Done, Plan, Unit, Way};
use crate::hosts::{self, Authentik};
use crate::server::Server;

/// Something small to ask for.
const PATH: &str = "/api/groups?limit=1";

/// How many requests are under way at once.
const AT_ONCE: usize = 8;

pub async fn run(plan: &Plan) -> anyhow::Result<Vec<Comparison>> {
    let (server, _nats) = hosts::nats().await;
    let authentik = Authentik::start().await?;
    let api = Server::start(plan, Way::AsItIs, &server.url(), &authentik.issuer()).await?;
    let client = Client::new();
    let n_requests = plan.size(500, 5);
    let comparison = Comparison {
        benchmark: "tokens",
        case: format!("{n_requests} requests, one token or as many"),
        unit: Unit::CpuSeconds,
        item: "request",
        rounds: vec![],
    };
    let measure = async |way| {
        // A token that the API has not seen yet makes it verify.
        let n_tokens = if way == Way::AsItIs { 1 } else { n_requests };
        let tokens = stream::iter(0..n_tokens).then(|_| authentik.token()).collect::<Vec<_>>().await;
        if way == Way::AsItIs {
            ask(&client, &api, &tokens[0]).await?;
        }
        let begin = api.cpu_seconds()?;
        let asking =
            stream::iter(tokens.iter().cycle().take(n_requests)).map(|token| ask(&client, &api, token));
        let answers: Vec<()> = asking.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(Done { n_items: u64::try_from(answers.len())?, cost: api.cpu_seconds()? - begin })
    };
    Ok(vec![comparison.measure(plan, measure).await?])
}

async fn ask(client: &Client, api: &Server, token: &str) -> anyhow::Result<()> {
    let answer = client.get(format!("{}{PATH}", api.url)).bearer_auth(token).send().await;
    let answer = answer.context("asking the API")?;
    ensure!(answer.status() == 200, "the API answered {}", answer.status());
    answer.bytes().await.context("reading the API's answer")?;
    Ok(())
}
