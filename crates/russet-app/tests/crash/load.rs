//! Callers that write as fast as they can until the program is gone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::history::{Found, History, Outcome};
use crate::support::Answer;
use crate::support::program::{Serve, call};

/// The callers of each kind.
const CALLERS: usize = 3;
const PLAYERS: usize = 4;
/// The users of the first start, which nobody here writes.
pub const FIRST_USERS: i64 = 100;

/// What the callers share.
pub struct Load {
    /// Whether writes are queued in Redis: while that is away, the database answers, without what is queued.
    behind: bool,
    pub history: Mutex<History>,
    /// How many writes were acknowledged, for who waits for a moment.
    pub acknowledged: watch::Sender<u64>,
    /// Answers that showed something older than was acknowledged before.
    pub stale: Mutex<Vec<String>>,
}

impl Load {
    pub fn new(behind: bool) -> Arc<Load> {
        Arc::new(Load {
            behind,
            history: Mutex::default(),
            acknowledged: watch::Sender::new(0),
            stale: Mutex::default(),
        })
    }

    /// Starts the callers; each ends when its request is not answered any more.
    pub fn start(self: &Arc<Load>, address: SocketAddr, round: u32) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(self.clone().write_users(address, format!("{round}-{caller}")));
            callers.spawn(self.clone().view_pages(address));
            callers.spawn(self.clone().score(address, caller));
        }
        callers
    }

    fn note(&self, outcome: Outcome, write: impl FnOnce(&mut History)) {
        write(&mut self.history.lock().unwrap());
        if outcome == Outcome::Done {
            self.acknowledged.send_modify(|count| *count += 1);
        }
    }

    /// Makes users, and replaces each a few times; looks them up in between, so that copies are cached.
    async fn write_users(self: Arc<Load>, address: SocketAddr, caller: String) {
        for number in 0.. {
            let name = format!("user {caller}-{number}");
            let body = json!({"name": name, "email": "user@example.com"});
            let answer = call(address, Method::POST, "/api/users", Some(body)).await;
            let outcome = outcome(&answer);
            let id = answer
                .as_ref()
                .ok()
                .filter(|answer| answer.status == 201)
                .map(|answer| id(&answer.json()));
            self.note(outcome, |history| history.create(&name, outcome, id));
            let Ok(_) = answer else { return };
            let Some(id) = id else { continue };
            for version in 0..3 {
                let name = format!("{name} v{version}");
                if !self.replace(address, id, &name).await {
                    return;
                }
            }
        }
    }

    /// Replaces a user and looks it up; `false` when the program is gone.
    async fn replace(&self, address: SocketAddr, id: i64, name: &str) -> bool {
        let path = format!("/api/users/{id}");
        let body = json!({"name": name, "email": "user@example.com"});
        let answer = call(address, Method::PUT, &path, Some(body)).await;
        let outcome = outcome(&answer);
        self.note(outcome, |history| history.replace(id, name, outcome));
        for _ in 0..2 {
            let Ok(found) = call(address, Method::GET, &path, None).await else { return false };
            if outcome == Outcome::Done && found.json()["name"] != name {
                let (found, source) = (found.text().to_owned(), found.header("x-cache").to_owned());
                if self.behind && source == "bypass" {
                    continue;
                }
                self.stale.lock().unwrap().push(format!("{found} as a {source} after {name:?}"));
            }
        }
        answer.is_ok()
    }

    async fn view_pages(self: Arc<Load>, address: SocketAddr) {
        loop {
            let answer = call(address, Method::GET, "/api/stats/page_views", None).await;
            let outcome = outcome(&answer);
            self.note(outcome, |history| history.count("views", outcome));
            if answer.is_err() {
                return;
            }
        }
    }

    async fn score(self: Arc<Load>, address: SocketAddr, caller: usize) {
        for number in caller.. {
            let player = format!("crash{}", number % PLAYERS);
            let body = json!({"player": player, "score": 1});
            let answer = call(address, Method::POST, "/api/leaderboard/update", Some(body)).await;
            let outcome = outcome(&answer);
            self.note(outcome, |history| history.count(&player, outcome));
            if answer.is_err() {
                return;
            }
        }
    }

    /// Asks for everything and holds it against the history.
    pub async fn check(&self, serve: &Serve, since_user: i64) -> Vec<String> {
        let found = found(serve, since_user).await;
        let mut wrong = self.history.lock().unwrap().check(&found);
        wrong.append(&mut self.stale.lock().unwrap());
        wrong
    }
}

/// What an answer says about a write. Only the text of a 503 tells whether it may have happened.
fn outcome(answer: &std::io::Result<Answer>) -> Outcome {
    match answer {
        Err(_) => Outcome::Unknown,
        Ok(answer) if answer.status.is_success() => Outcome::Done,
        Ok(answer) => {
            let text = answer.error(503);
            if text.contains("not known") { Outcome::Unknown } else { Outcome::Refused }
        }
    }
}

fn id(user: &Value) -> i64 {
    user["id"].as_i64().expect("an id")
}

/// All users from SQL, those from `since_user` on through the cache too, and the counts.
async fn found(serve: &Serve, since_user: i64) -> Found {
    let mut found = Found::default();
    let mut after = FIRST_USERS;
    loop {
        let page = serve.get(&format!("/api/users?limit=100&after={after}")).await.json();
        let users = page.as_array().expect("a list");
        let Some(last) = users.last() else { break };
        after = id(last);
        let text = |user: &Value| user["name"].as_str().expect("a name").to_owned();
        found.users.extend(users.iter().map(|user| (id(user), text(user))));
    }
    let recent: Vec<i64> = found.users.range(since_user..).map(|(id, _)| *id).collect();
    for id in recent {
        let answer = serve.get(&format!("/api/users/{id}")).await;
        let name = (answer.status != 404)
            .then(|| answer.json()["name"].as_str().expect("a name").to_owned());
        found.looked_up.insert(id, name);
    }
    let views = serve.get("/api/overview").await.json()["page_views"]["total_views"].as_u64();
    found.counts.insert("views".to_owned(), views.expect("a count"));
    for player in (0..PLAYERS).map(|number| format!("crash{number}")) {
        let answer = serve.get(&format!("/api/leaderboard/{player}?around=0")).await;
        let score = if answer.status == 404 { Some(0) } else { answer.json()["score"].as_u64() };
        found.counts.insert(player, score.expect("a whole score"));
    }
    found
}
