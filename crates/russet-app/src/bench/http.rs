//! Cases of the web application, asked over HTTP, beside a bare handler that does one `GET` in Redis.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, routing::get};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use russet::{
    Russet, raw,
    testing::{Proxy, TestServer},
};
use russet_axum::Server;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use super::case::{Case, RoundTrips, Took, Work};
use crate::{AppState, Failure, db::Database, http, seed};

/// Users that are asked for, and players on the board.
const USERS: u32 = 1_000;
const PLAYERS: u32 = 1_000;

const FLOOR: &str = "an axum handler that does one GET";
const FLOOR_KEY: &str = "floor:page";

/// A path for each number.
type Paths = fn(u64) -> String;

const PATHS: [(&str, Paths); 3] = [
    ("user_hit", |number| format!("/api/users/{}", number % u64::from(USERS) + 1)),
    ("page_view", |_| "/api/stats/page_views".to_owned()),
    ("leaderboard", |_| "/api/leaderboard".to_owned()),
];

/// Something that serves HTTP as long as it is asked.
struct Site {
    address: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
    _server: AbortOnDropHandle<()>,
    /// The application's database.
    _folder: Arc<TempDir>,
}

pub async fn cases(server: &TestServer) -> Result<Vec<Case>, Failure> {
    http::metrics::collect();
    let folder = Arc::new(tempfile::tempdir()?);
    let db = Database::open(&Database::url_in(folder.path())).await?;
    let russet = Russet::connect(&server.url()).await?;
    let state = AppState::new(russet.clone(), db.clone())?;
    fill(&state).await?;
    let ours = Site::application(state, &folder).await?;
    let floor = Site::floor(&russet, &folder).await?;
    let mut cases = Vec::new();
    for (name, path) in PATHS {
        let proxy = Proxy::to(server).await?;
        let state = AppState::new(Russet::connect(&proxy.url()).await?, db.clone())?;
        let counted = Site::application(state, &folder).await?.asked(path);
        let case = Case::new("http", name, ours.clone().asked(path));
        cases.push(
            case.floor(FLOOR, floor.clone().asked(|_| "/".to_owned()))
                .round_trips(RoundTrips::Proxied(proxy, counted)),
        );
    }
    Ok(cases)
}

/// Users in the database and in the cache, players on the board.
async fn fill(state: &AppState) -> Result<(), Failure> {
    seed::users(state, USERS, |_| {}).await?;
    seed::players(state, PLAYERS, |_| {}).await?;
    for id in 1..=USERS {
        state.users.find(id.into()).await?;
    }
    Ok(())
}

async fn one_get(State(russet): State<Russet>) -> Result<String, String> {
    let answer = raw::command(&russet, &["GET", FLOOR_KEY]).await;
    Ok(answer.map_err(|error| error.to_string())?.into_text().unwrap_or_default())
}

impl Site {
    async fn application(state: AppState, folder: &Arc<TempDir>) -> Result<Arc<Self>, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let served = async {
            Server::new().serve(listener, http::app(state), std::future::pending()).await;
        };
        Ok(Self::at(address, tokio::spawn(served), folder))
    }

    async fn floor(russet: &Russet, folder: &Arc<TempDir>) -> Result<Arc<Self>, Failure> {
        raw::command(russet, &["SET", FLOOR_KEY, &"x".repeat(100)]).await?;
        let router = Router::new().route("/", get(one_get)).with_state(russet.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let served = async {
            // It ends with an error never, and otherwise with this task.
            let _ = axum::serve(listener, router).await;
        };
        Ok(Self::at(address, tokio::spawn(served), folder))
    }

    fn at(address: SocketAddr, served: JoinHandle<()>, folder: &Arc<TempDir>) -> Arc<Self> {
        // Connections are kept, as a load balancer keeps them.
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (_server, _folder) = (AbortOnDropHandle::new(served), folder.clone());
        Arc::new(Self { address, client, _server, _folder })
    }

    fn asked(self: Arc<Self>, path: Paths) -> Work {
        Work::new(move |number| {
            let site = self.clone();
            async move {
                let uri = format!("http://{}{}", site.address, path(number)).parse()?;
                let answer = site.client.get(uri).await?;
                let status = answer.status();
                let body = answer.into_body().collect().await?.to_bytes();
                if status.is_success() {
                    return Ok(Took::AllOfIt);
                }
                Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
            }
        })
    }
}
