//! `/metrics` for Prometheus, and the measuring of each request.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use russet_axum::ApiError;

use super::openapi::ErrorBody;

/// Upper bounds in seconds, from a cached answer to a slow database.
const BUCKETS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// How often the samples of histograms are folded together, so that they take no room of their own.
const UPKEEP: Duration = Duration::from_secs(1);

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Collects the process's metrics from here on. Called again, it does nothing.
pub fn collect() {
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS);
        let handle = builder
            .and_then(PrometheusBuilder::install_recorder)
            .inspect_err(|error| tracing::warn!(%error, "metrics are not collected"))
            .ok()?;
        tokio::spawn(keep_small(handle.clone()));
        Some(handle)
    });
}

async fn keep_small(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        handle.run_upkeep();
    }
}

/// The process's metrics as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses(
    (status = 200, description = "Prometheus text format 0.0.4", body = String, content_type = "text/plain"),
    (status = 503, description = "They are not collected: the log says why", body = ErrorBody),
))]
pub async fn render() -> Result<Response, ApiError> {
    let handle = HANDLE.get().and_then(Option::as_ref);
    let handle = handle.ok_or_else(|| ApiError::unavailable("metrics are not collected"))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
        .into_response())
}

/// Middleware: counts requests and their time by route, and logs those that took or went wrong.
///
/// `http_requests_total{method, route, status}`, `http_request_duration_seconds{method, route}`. A path without a
/// route counts as `none`, so that clients cannot make up labels.
pub async fn measure(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none".into(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let (status, took) = (response.status(), start.elapsed());
    metrics::histogram!("http_request_duration_seconds", "method" => method, "route" => route.clone())
        .record(took.as_secs_f64());
    metrics::counter!("http_requests_total", "method" => method, "route" => route, "status" => text(status))
        .increment(1);
    tracing::debug!(status = status.as_u16(), ms = took.as_secs_f64() * 1e3, "answered");
    response
}

fn text(status: StatusCode) -> String {
    status.as_u16().to_string()
}
