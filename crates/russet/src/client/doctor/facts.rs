//! What a server says of itself.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

use redis::{FromRedisValue, Value};

use crate::client::{link::Link, send::Errand};
use crate::clock::millis;
use crate::error::Result;

/// The answers of one server; empty where the user may not ask.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The fields of `INFO`.
    pub(super) info: HashMap<String, String>,
    /// The settings of `CONFIG GET *`.
    pub(super) config: HashMap<String, String>,
    /// The fields of `CLUSTER INFO`; empty for a single server.
    pub(super) cluster: HashMap<String, String>,
    /// The server's clock less ours, in milliseconds.
    pub(super) clock_ahead_ms: i64,
    /// How far off that may be: half of the time that it took to ask.
    pub(super) clock_doubt_ms: i64,
    /// The commands that the user may not run.
    pub(super) refused: Vec<&'static str>,
}

impl Facts {
    pub(super) async fn gather(errand: &Errand<'_>, link: &Arc<Link>) -> Result<Self> {
        let mut facts = Self::default();
        let cmd = |words: &[&str]| {
            let mut cmd = redis::Cmd::new();
            cmd.arg(words);
            cmd
        };
        let (asked_at, started) = (SystemTime::now(), Instant::now());
        let time = errand.ask(link, vec![cmd(&["TIME"])]).await?;
        let took = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        if let Some(Ok((seconds, micros))) =
            time.into_iter().next().map(<(i64, i64)>::from_redis_value)
        {
            facts.clock_doubt_ms = took / 2 + 1;
            facts.clock_ahead_ms = seconds * 1_000 + micros / 1_000 - millis(asked_at) - took / 2;
        }
        let questions = [("INFO", &["INFO"][..]), ("CONFIG GET", &["CONFIG", "GET", "*"])];
        let answers =
            errand.ask(link, questions.iter().map(|(_, words)| cmd(words)).collect()).await?;
        for ((name, _), answer) in questions.iter().zip(answers) {
            match answer {
                Value::ServerError(_) => facts.refused.push(name),
                info if *name == "INFO" => facts.info = fields(info),
                config => {
                    facts.config = HashMap::from_redis_value(config).unwrap_or_default();
                }
            }
        }
        if facts.info.get("cluster_enabled").is_some_and(|enabled| enabled == "1") {
            let answer = errand.ask(link, vec![cmd(&["CLUSTER", "INFO"])]).await?;
            facts.cluster = answer.into_iter().next().map(fields).unwrap_or_default();
        }
        Ok(facts)
    }

    pub(super) fn info(&self, name: &str) -> &str {
        self.info.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn config(&self, name: &str) -> &str {
        self.config.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A number of `INFO`; 0 when it does not tell.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.info(name).parse().unwrap_or_default()
    }
}

/// Lines of `name:value`.
fn fields(answer: Value) -> HashMap<String, String> {
    let text = String::from_redis_value(answer).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}
