//! HTTP to loopback, one connection a request.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use thirtyfour::prelude::{WebDriverError, WebDriverResult};
use thirtyfour::session::http::{Body, HttpClient};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A browser that starts on a busy machine may take a while.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the driver of the browser is spoken to with.
#[derive(Debug)]
pub(super) struct Client;

#[async_trait]
impl HttpClient for Client {
    async fn send(&self, request: Request<Body<'_>>) -> WebDriverResult<Response<Bytes>> {
        let request = request.map(|body| match body {
            Body::Empty => Full::default(),
            Body::Json(json) => Full::from(json.to_string()),
        });
        exchange(request).await.map_err(|error| WebDriverError::HttpError(error.to_string()))
    }

    async fn new(&self) -> Arc<dyn HttpClient> {
        Arc::new(Self)
    }
}

/// Sends a request to the host and port of its URI, and reads the whole response.
pub(super) async fn exchange(
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Box<dyn Error + Send + Sync>> {
    timeout(DEADLINE, async {
        let (mut head, body) = request.into_parts();
        let host = head.uri.authority().ok_or("a URI without a host")?.to_string();
        let stream = TcpStream::connect(&host).await?;
        head.headers.insert(HOST, host.try_into()?);
        head.uri = Uri::try_from(head.uri.path_and_query().map_or("/", |path| path.as_str()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let (head, body) = sender.send_request(Request::from_parts(head, body)).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Response::from_parts(head, body))
    })
    .await?
}
