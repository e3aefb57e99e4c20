//! How a call gets its answer: deadlines, redirects, lost answers, scripts the server does not know.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Russet,
    call::{Call, Effect},
    connection::Connection,
    fault,
    link::Link,
    meter,
    router::{Detour, Router},
};
use crate::error::{Error, Result};

/// What an answer can be read as: numbers, text, bytes, `Option`, `Vec`, tuples.
pub(crate) use redis::FromRedisValue as FromReply;

/// How often the nodes of a Cluster may send a call on. More means that they do not agree.
const DETOURS: u32 = 16;
/// How long a call waits while its keys are between two nodes.
const BETWEEN: Duration = Duration::from_millis(5);

impl Russet {
    /// Sends one call: one round trip.
    ///
    /// # Errors
    /// By the deadline at the latest: see [`ErrorKind`](crate::ErrorKind).
    pub(crate) async fn run<T: FromReply>(&self, call: Call) -> Result<T> {
        Errand::new(self.router(), Duration::ZERO).run(&call).await
    }

    /// When a call that is made now ends at the latest.
    #[cfg(any(
        feature = "counters",
        feature = "inventory",
        feature = "leaderboard",
        feature = "pubsub"
    ))]
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.router().settings().timeout
    }

    /// As [`run`](Self::run), with the deadline of an earlier call, of which this one is a part.
    #[cfg(any(feature = "counters", feature = "inventory", feature = "leaderboard"))]
    pub(crate) async fn run_until<T: FromReply>(&self, deadline: Instant, call: Call) -> Result<T> {
        Errand { deadline, ..Errand::new(self.router(), Duration::ZERO) }.run(&call).await
    }

    /// Sends the calls in one pipeline: one round trip, in order. On a Cluster it is one for each node that is needed,
    /// all at the same time. The first error is returned.
    ///
    /// # Errors
    /// As [`run`](Self::run); calls after the failed one have run all the same.
    pub(crate) async fn run_many<T: FromReply>(&self, calls: &[Call]) -> Result<Vec<T>> {
        Errand::new(self.router(), Duration::ZERO).run_many(calls).await
    }

    /// As [`run_many`](Self::run_many), with the deadline of an earlier call, of which this one is a part.
    #[cfg(feature = "counters")]
    pub(crate) async fn run_many_until<T: FromReply>(
        &self,
        deadline: Instant,
        calls: &[Call],
    ) -> Result<Vec<T>> {
        let errand = Errand { deadline, ..Errand::new(self.router(), Duration::ZERO) };
        errand.run_many(calls).await
    }
}

/// Calls on their way to their answers.
pub(super) struct Errand<'a> {
    router: &'a Router,
    timeout: Duration,
    deadline: Instant,
}

/// The calls of one pipeline to one node.
struct Parcel {
    link: Arc<Link>,
    asking: bool,
    /// Places among all calls.
    calls: Vec<usize>,
}

impl<'a> Errand<'a> {
    /// Calls that may take so much longer than others.
    pub(super) fn new(router: &'a Router, longer: Duration) -> Self {
        let timeout = router.settings().timeout.saturating_add(longer);
        Self { router, timeout, deadline: Instant::now() + timeout }
    }

    /// Sends one call.
    pub(super) async fn run<T: FromReply>(&self, call: &Call) -> Result<T> {
        decode(call, self.one(call, &[]).await?.0)
    }

    async fn run_many<T: FromReply>(&self, calls: &[Call]) -> Result<Vec<T>> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.many(calls).await?;
        calls.iter().zip(answers).map(|(call, answer)| decode(call, answer)).collect()
    }

    /// The answer to a call, and those to the commands that follow it on the same connection.
    pub(super) async fn one(&self, call: &Call, tail: &[Cmd]) -> Result<(Value, Vec<Value>)> {
        let (mut ask, mut moved) = (None, None);
        let mut detours = 0;
        loop {
            let asking = ask.is_some();
            let link = match ask.take().or(moved.take()) {
                Some(link) => link,
                None => self.link(call).await?,
            };
            let exchange = |connection| exchange(connection, call, asking, tail);
            let sent = self.send(&link, call.effect, || call.subject(), exchange).await?;
            // The Cluster has changed, or the call may be done twice: it is looked anew where it belongs.
            let Some((answer, behind)) = sent else { continue };
            match self.router.detour(&link, &answer) {
                None => return Ok((answer, behind)),
                Some(Detour::TryAgain) if self.is_late() => return Ok((answer, behind)),
                Some(Detour::TryAgain) => {
                    // The old node sends the call on each time: that is no disagreement.
                    detours = 0;
                    sleep(BETWEEN).await;
                }
                Some(_) if detours == DETOURS => return Err(fault::sent_around(&call.subject())),
                Some(Detour::Moved(to)) => (moved, detours) = (Some(to), detours + 1),
                Some(Detour::Ask(to)) => (ask, detours) = (Some(to), detours + 1),
            }
        }
    }

    /// The answers to the calls, in their order.
    async fn many(&self, calls: &[Call]) -> Result<Vec<Value>> {
        let mut answers = vec![Value::Nil; calls.len()];
        let mut parcels = Vec::new();
        for place in 0..calls.len() {
            self.pack(&mut parcels, calls, place).await?;
        }
        let mut detours = 0;
        while !parcels.is_empty() {
            let sent = join_all(parcels.iter().map(|parcel| self.deliver(parcel, calls))).await;
            let mut next = Vec::new();
            let (mut between, mut on_detour) = (false, false);
            for (parcel, sent) in parcels.iter().zip(sent) {
                let Some(sent) = sent? else {
                    for place in &parcel.calls {
                        self.pack(&mut next, calls, *place).await?;
                    }
                    continue;
                };
                for (place, answer) in parcel.calls.iter().zip(sent) {
                    match self.router.detour(&parcel.link, &answer) {
                        Some(Detour::TryAgain) if !self.is_late() => {
                            self.pack(&mut next, calls, *place).await?;
                            between = true;
                        }
                        None | Some(Detour::TryAgain) => answers[*place] = answer,
                        Some(_) if detours == DETOURS => {
                            return Err(fault::sent_around(&calls[*place].subject()));
                        }
                        Some(Detour::Moved(to)) => {
                            put(&mut next, to, false, *place);
                            on_detour = true;
                        }
                        Some(Detour::Ask(to)) => {
                            put(&mut next, to, true, *place);
                            on_detour = true;
                        }
                    }
                }
            }
            detours += u32::from(on_detour);
            if between {
                detours = 0;
                sleep(BETWEEN).await;
            }
            parcels = next;
        }
        Ok(answers)
    }

    /// Whether one more try could meet the deadline: then its fate would be unknown, while now it is known that nothing
    /// was done.
    fn is_late(&self) -> bool {
        Instant::now() + BETWEEN + self.timeout / 8 >= self.deadline
    }

    /// The links to all primaries.
    pub(super) async fn primaries(&self) -> Result<Vec<Arc<Link>>> {
        self.router.primaries(self.deadline).await
    }

    /// Asks this server several things that change nothing, in one pipeline.
    pub(super) async fn ask(&self, link: &Arc<Link>, cmds: Vec<Cmd>) -> Result<Vec<Value>> {
        let subject = || "a question about the server".to_owned();
        loop {
            let exchange = |mut connection| {
                let cmds = cmds.clone();
                async move { send_all(&mut connection, cmds.into_iter(), false).await }
            };
            if let Some(answers) = self.send(link, Effect::Read, subject, exchange).await? {
                return Ok(answers);
            }
        }
    }

    async fn link(&self, call: &Call) -> Result<Arc<Link>> {
        let link = self.router.link(call.slot(), self.deadline).await;
        link.map_err(|why| fault::unreachable(&call.subject(), &why))
    }

    async fn pack(&self, parcels: &mut Vec<Parcel>, calls: &[Call], place: usize) -> Result<()> {
        put(parcels, self.link(&calls[place]).await?, false, place);
        Ok(())
    }

    async fn deliver(&self, parcel: &Parcel, calls: &[Call]) -> Result<Option<Vec<Value>>> {
        let ours = || parcel.calls.iter().map(|place| &calls[*place]);
        let effect = strictest(ours());
        let subject = || ours().next().map(Call::subject).unwrap_or_default();
        let exchange = |connection| exchange_many(connection, ours().collect(), parcel.asking);
        self.send(&parcel.link, effect, subject, exchange).await
    }

    /// One exchange on the link's connection. `None` when nothing was done, or was lost and may be done twice.
    async fn send<A: Answers, F>(
        &self,
        link: &Link,
        effect: Effect,
        subject: impl Fn() -> String,
        exchange: impl Fn(Connection) -> F,
    ) -> Result<Option<A>>
    where
        F: Future<Output = RedisResult<A>>,
    {
        let connection = self.router.connection(link, self.deadline).await;
        let connection = connection.map_err(|why| fault::unreachable(&subject(), &why))?;
        let Some(connection) = connection else { return Ok(None) };
        match timeout_at(self.deadline, exchange(connection.clone())).await {
            Ok(Ok(answers)) => {
                if answers.any(is_read_only) {
                    self.router.read_only(link, &connection);
                }
                Ok(Some(answers))
            }
            Ok(Err(lost)) => {
                self.router.lost(link, &connection);
                match effect {
                    Effect::Once => Err(fault::unanswered(&subject(), effect, &lost.to_string())),
                    // The next connection gets it too.
                    Effect::Idempotent | Effect::Read => Ok(None),
                }
            }
            Err(_) => {
                self.router.unanswered(link, &connection);
                let how = format!("within {:?}", self.timeout);
                Err(fault::unanswered(&subject(), effect, &how))
            }
        }
    }
}

/// The answers of one exchange.
trait Answers {
    fn any(&self, is: impl Fn(&Value) -> bool) -> bool;
}

impl Answers for (Value, Vec<Value>) {
    fn any(&self, is: impl Fn(&Value) -> bool) -> bool {
        is(&self.0)
    }
}

impl Answers for Vec<Value> {
    fn any(&self, is: impl Fn(&Value) -> bool) -> bool {
        self.iter().any(is)
    }
}

/// Puts a call into the parcel of its node, in order.
fn put(parcels: &mut Vec<Parcel>, link: Arc<Link>, asking: bool, place: usize) {
    let same = |parcel: &&mut Parcel| Arc::ptr_eq(&parcel.link, &link) && parcel.asking == asking;
    match parcels.iter_mut().find(same) {
        Some(parcel) => parcel.calls.push(place),
        None => parcels.push(Parcel { link, asking, calls: vec![place] }),
    }
}

/// One call, sent again with its text when the server does not know the script.
async fn exchange(
    mut connection: Connection,
    call: &Call,
    asking: bool,
    tail: &[Cmd],
) -> RedisResult<(Value, Vec<Value>)> {
    let answered = send_one(&mut connection, &call.cmd, asking, tail).await?;
    if !is_unknown_script(&answered.0) {
        return Ok(answered);
    }
    let Some(with_source) = call.with_source() else { return Ok(answered) };
    send_one(&mut connection, &with_source, asking, tail).await
}

async fn send_one(
    connection: &mut Connection,
    cmd: &Cmd,
    asking: bool,
    tail: &[Cmd],
) -> RedisResult<(Value, Vec<Value>)> {
    if !asking && tail.is_empty() {
        meter::count(1);
        return Ok((connection.wire.send_packed_command(cmd).await?, Vec::new()));
    }
    let mut pipeline = Pipeline::with_capacity(tail.len() + 2);
    if asking {
        pipeline.cmd("ASKING");
    }
    pipeline.add_command(cmd.clone());
    for cmd in tail {
        pipeline.add_command(cmd.clone());
    }
    let count = pipeline.len();
    meter::count(count);
    let answers = connection.wire.send_packed_commands(&pipeline, 0, count).await?;
    let mut answers = answers.into_iter().skip(usize::from(asking));
    Ok((answers.next().unwrap_or(Value::Nil), answers.collect()))
}

/// A pipeline; the calls whose script the server did not know follow in a second one.
async fn exchange_many(
    mut connection: Connection,
    calls: Vec<&Call>,
    asking: bool,
) -> RedisResult<Vec<Value>> {
    let first = calls.iter().map(|call| call.cmd.clone());
    let mut answers = send_all(&mut connection, first, asking).await?;

    let mut again = Vec::new();
    let mut places = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        if !answers.get(place).is_some_and(is_unknown_script) {
            continue;
        }
        if let Some(with_source) = call.with_source() {
            again.push(with_source);
            places.push(place);
        }
    }
    if !places.is_empty() {
        let repaired = send_all(&mut connection, again.into_iter(), asking).await?;
        for (place, answer) in places.into_iter().zip(repaired) {
            answers[place] = answer;
        }
    }
    Ok(answers)
}

async fn send_all(
    connection: &mut Connection,
    cmds: impl Iterator<Item = Cmd>,
    asking: bool,
) -> RedisResult<Vec<Value>> {
    let mut pipeline = Pipeline::new();
    for cmd in cmds {
        if asking {
            // It holds for the next command only.
            pipeline.cmd("ASKING");
        }
        pipeline.add_command(cmd);
    }
    let count = pipeline.len();
    meter::count(count);
    let answers = connection.wire.send_packed_commands(&pipeline, 0, count).await?;
    Ok(match asking {
        true => answers.into_iter().skip(1).step_by(2).collect(),
        false => answers,
    })
}

fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

fn is_read_only(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::ReadOnly))
}

/// What may be done with all of them, should the answers be lost.
fn strictest<'a>(calls: impl Iterator<Item = &'a Call> + Clone) -> Effect {
    let mut effects = calls.map(|call| call.effect);
    if effects.clone().any(|effect| effect == Effect::Once) {
        Effect::Once
    } else if effects.any(|effect| effect == Effect::Idempotent) {
        Effect::Idempotent
    } else {
        Effect::Read
    }
}

pub(super) fn decode<T: FromReply>(call: &Call, answer: Value) -> Result<T> {
    if let Value::ServerError(error) = &answer {
        return Err(fault::refused(&call.subject(), error));
    }
    T::from_redis_value(answer).map_err(|cause| {
        Error::internal(format_args!(
            "{}: an answer of an unexpected form, {cause}",
            call.subject()
        ))
    })
}
