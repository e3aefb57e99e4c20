//! The sentinels of a primary: who it is, and when it was replaced.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::RedisConnectionInfo;
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use super::{address::Address, connection::Aside, fault, settings::Settings, tls::Tls};
use crate::{
    error::{Advice, Error, ErrorKind, Result},
    service::{Rest, Service},
};

/// How often the sentinels are asked, and how long an answer may take. Together well below a second: so long a
/// primary that was replaced may still be spoken to.
const EVERY: Duration = Duration::from_millis(300);
const ANSWER_WITHIN: Duration = Duration::from_millis(300);

/// Several sentinels and the primary whose name they know.
pub(super) struct Sentinels {
    name: String,
    each: Vec<Sentinel>,
    known: watch::Sender<Option<Primary>>,
}

struct Sentinel {
    address: Address,
    login: RedisConnectionInfo,
    tls: Option<Tls>,
    open: Mutex<Option<Aside>>,
}

/// What a sentinel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Primary {
    /// Grows with each failover: who tells the larger one knows better.
    epoch: u64,
    address: Address,
}

impl Sentinels {
    pub(super) fn new(
        addresses: &[Address],
        name: &str,
        login: &RedisConnectionInfo,
        settings: &Settings,
    ) -> Self {
        let each = addresses.iter().map(|address| Sentinel {
            address: address.clone(),
            login: login.clone(),
            tls: settings.tls.clone(),
            open: Mutex::default(),
        });
        Self { name: name.to_owned(), each: each.collect(), known: watch::Sender::new(None) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks all sentinels again and again.
    pub(super) fn watch(self: Arc<Self>) -> Service {
        Service::start("sentinel watcher", move |_| {
            let sentinels = self.clone();
            async move {
                // That none of them answers is told to who wants to connect.
                let _ = sentinels.ask(sentinels.each.len()).await;
                Ok(Rest::For(EVERY))
            }
        })
    }

    /// The primary's address, as the one of a majority tells it who knows best.
    ///
    /// # Errors
    /// `Unreachable` when no sentinel answers or knows the primary, `Refused` when they refuse the login.
    pub(super) async fn primary(&self) -> Result<Address> {
        self.ask(self.each.len() / 2 + 1).await
    }

    /// Waits until another server is the primary.
    pub(super) async fn is_replaced(&self, address: &Address) {
        let mut known = self.known.subscribe();
        let other =
            |known: &Option<Primary>| known.as_ref().is_some_and(|known| known.address != *address);
        if known.wait_for(other).await.is_err() {
            std::future::pending().await
        }
    }

    /// Asks all at the same time until so many have answered, and takes over what is newer than what is known.
    async fn ask(&self, enough: usize) -> Result<Address> {
        let mut asked: FuturesUnordered<_> =
            self.each.iter().map(|sentinel| sentinel.primary(&self.name)).collect();
        let mut answers = Vec::new();
        let mut failure = None;
        while answers.len() < enough
            && let Some(answer) = asked.next().await
        {
            match answer {
                Ok(primary) => answers.push(primary),
                Err(error) => failure = Some(error),
            }
        }
        let count = answers.len();
        let Some(best) = answers.into_iter().max_by_key(|primary| primary.epoch) else {
            return Err(failure.unwrap_or_else(|| fault::no_primary(&self.name)));
        };
        let mut address = best.address.clone();
        self.known.send_if_modified(|known| match known {
            // Told by one that has not heard of the last failover yet. Numbers begin anew when all are set up anew.
            Some(known) if best.epoch < known.epoch && count < self.each.len() => {
                address = known.address.clone();
                false
            }
            _ => {
                let is_news = known.as_ref() != Some(&best);
                *known = Some(best);
                is_news
            }
        });
        Ok(address)
    }
}

impl Sentinel {
    async fn primary(&self, name: &str) -> Result<Primary> {
        timeout(ANSWER_WITHIN, self.ask(name)).await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Unreachable,
                Advice::RetryAfter(fault::RECOVERING),
                format_args!("the sentinel at {self} does not answer"),
            ))
        })
    }

    async fn ask(&self, name: &str) -> Result<Primary> {
        let mut open = self.open.lock().await;
        // Put back when it has answered: one that was given up while it was asked is not used again.
        let mut aside = match open.take() {
            Some(aside) => aside,
            None => Aside::open(&self.address, self.tls.as_ref(), &self.login).await?,
        };
        let mut question = redis::cmd("SENTINEL");
        question.arg("MASTER").arg(name);
        let answer: Result<HashMap<String, String>, _> =
            question.query_async(&mut aside.wire).await;
        let fields = answer.map_err(|error| fault::not_connected(&self.address, &error))?;
        *open = Some(aside);
        let text = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        match (text("port").parse(), text("config-epoch").parse()) {
            (Ok(port), Ok(epoch)) => {
                let address = Address::beside(&self.address, text("ip"), port);
                Ok(Primary { epoch, address })
            }
            _ => Err(fault::no_primary(name)),
        }
    }
}

impl fmt::Display for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
