//! Logs and metrics.

use std::sync::OnceLock;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, TelemetryConfig};

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts logging to standard error and collecting metrics. Later calls in the same process change nothing.
///
/// Fails if the log filter is invalid.
pub fn start(config: &TelemetryConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter).context("RUST_LOG")?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // Tests start several programs in one process: the first one's logging remains.
    drop(started);
    start_metrics()
}

fn start_metrics() -> anyhow::Result<()> {
    if METRICS.get().is_none() {
        let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let sizes = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
        let builder = PrometheusBuilder::new()
            .set_buckets(&seconds)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &sizes))
            .context("metric buckets")?;
        // A second program in the same process shares the first one's recorder.
        if let Ok(handle) = builder.install_recorder() {
            METRICS.get_or_init(|| handle);
        }
    }
    Ok(())
}

/// All metrics as Prometheus text. Empty before [`start`].
pub fn render_metrics() -> String {
    METRICS.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Frees the samples that histograms have already counted. Call it every few seconds.
pub fn upkeep() {
    if let Some(metrics) = METRICS.get() {
        metrics.run_upkeep();
    }
}
