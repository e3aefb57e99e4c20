//! One claim loop: it gives tasks to their handlers, and each of its turns settles what they have done and claims for the
//! slots that are free.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    select,
    task::yield_now,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared, TaskContext,
    endings::{Endings, Running},
    heart::Heart,
};
use crate::{
    backoff::Backoff,
    error::{BoxError, Error, Result},
    id::Id,
    listen::{Heard, Listener},
    queue::{
        delivery::shortened,
        lease::Lease,
        receive::LONGEST_WAIT,
        scripts::{self, Claimed, Settlement, Turn, Turned, Verdict, Waits, millis},
        stats::Kind,
    },
    service::Service,
    wake::Waiter,
};

/// The most tasks of one claim.
const MOST: usize = 100;
/// How long a finished task waits for others that finish with it.
const LINGER: Duration = Duration::from_millis(1);
/// How often the others of the runtime go first before that.
const YIELDS: u32 = 4;
/// The most that are settled in one turn.
const MOST_SETTLED: usize = 250;
/// How long the first wait for the connection for messages may take; without it a worker only looks from time to time.
const LISTENING: Duration = Duration::from_secs(1);
const AFTER_ERROR: Backoff =
    Backoff { base: Duration::from_millis(50), cap: Duration::from_millis(500) };

pub(super) struct Claimer<S> {
    shared: Arc<Shared<S>>,
    slots: usize,
    claimant: Arc<str>,
    heart: Arc<Heart>,
    /// Beats until it is dropped.
    _beat: Option<Service>,
    _cancels: Listener,
    stop: CancellationToken,
    end: CancellationToken,
    endings: Arc<Endings>,
    running: usize,
    settlements: Vec<Settlement>,
    waiter: Option<Waiter>,
    is_registered: bool,
    /// Not before this is there more to claim, as far as it is known.
    idle_until: Instant,
    failures: u32,
    /// An answer was lost, and with it perhaps a claim.
    is_unsure: bool,
}

impl<S: Send + Sync + 'static> Claimer<S> {
    pub(super) fn new(
        shared: Arc<Shared<S>>,
        slots: usize,
        stop: &CancellationToken,
        end: &CancellationToken,
    ) -> Result<Self> {
        let claimant: Arc<str> = Id::random()?.to_string().into();
        let queue = &shared.queue.inner;
        let lease = queue.settings.lease;
        let heart = Arc::new(Heart::new(&queue.place, lease, &claimant));
        let beat = queue.russet.control().beat(lease / 3, heart.clone());
        let hearing = heart.clone();
        let cancels = queue.russet.listeners().listen(&queue.place.cancelling(), move |heard| {
            if let Heard::Message(id) = heard {
                hearing.cancel(&String::from_utf8_lossy(id));
            }
        });
        Ok(Self {
            shared,
            slots,
            claimant,
            heart,
            _beat: beat,
            _cancels: cancels,
            stop: stop.clone(),
            end: end.clone(),
            endings: Arc::new(Endings::new(MOST_SETTLED)),
            running: 0,
            settlements: Vec::new(),
            waiter: None,
            is_registered: false,
            idle_until: Instant::now(),
            failures: 0,
            is_unsure: false,
        })
    }

    /// Until it is stopped and nothing runs any more.
    pub(super) async fn run(mut self) {
        let mut sweep = Instant::now() + SWEEP;
        loop {
            self.wait().await;
            self.linger().await;
            if self.is_over() {
                break;
            }
            self.turn().await;
            if Instant::now() >= sweep {
                sweep = Instant::now() + SWEEP;
                self.sweep().await;
            }
        }
    }

    fn is_over(&self) -> bool {
        let is_done = self.running == 0 && self.settlements.is_empty();
        // An address that is left at a server that does not answer goes with its time.
        self.stop.is_cancelled() && is_done && (!self.is_registered || self.failures > 0)
    }

    fn free(&self) -> usize {
        if self.stop.is_cancelled() { 0 } else { (self.slots - self.running).min(MOST) }
    }

    /// Until a handler has ended, or there may be something to claim.
    async fn wait(&mut self) {
        let is_free = self.free() > 0;
        let stops = !self.stop.is_cancelled();
        if !self.settlements.is_empty() && self.failures == 0 || !stops && self.running == 0 {
            return;
        }
        let Self { endings, waiter, stop, idle_until, .. } = self;
        let news = async {
            match waiter {
                Some(waiter) => {
                    waiter.news(LONGEST_WAIT).await;
                }
                None => std::future::pending().await,
            }
        };
        let mut woken = false;
        select! {
            biased;
            () = stop.cancelled(), if stops => {}
            () = endings.news() => {}
            () = news, if is_free => woken = true,
            () = sleep_until(*idle_until), if is_free || self.failures > 0 => {}
        }
        if woken {
            // It is used up: the next turn registers another one, and this one is off the list.
            (self.waiter, self.is_registered) = (None, false);
            self.idle_until = Instant::now();
        }
    }

    /// Waits a moment for others that end together with the first, and takes what they left.
    async fn linger(&mut self) {
        if self.endings.are_there() {
            // Handlers that end at once do so before these come back: no clock has to be set for them.
            for _ in 0..YIELDS {
                if self.endings.all().now_or_never().is_some() {
                    break;
                }
                yield_now().await;
            }
            let _ = timeout_at(Instant::now() + LINGER, self.endings.all()).await;
        }
        for (fence, settlement) in self.endings.take() {
            self.running -= 1;
            match settlement {
                Some(settlement) => self.settlements.push(settlement),
                None => {
                    self.heart.settled(fence);
                    // There is no turn for it, which would find out.
                    if self.running == 0 {
                        self.shared.idle.notify_one();
                    }
                }
            }
        }
    }

    async fn turn(&mut self) {
        let free = self.free();
        let now = Instant::now();
        let most = if now >= self.idle_until || !self.settlements.is_empty() { free } else { 0 };
        // A worker that ends must not be woken for tasks that it will not take.
        let leaves = self.stop.is_cancelled() && self.is_registered;
        if most == 0 && self.settlements.is_empty() && !leaves {
            return;
        }
        if self.is_unsure
            && let Err(error) = self.recover().await
        {
            self.failed(&error);
            return;
        }
        let batch: Vec<_> =
            self.settlements.drain(..self.settlements.len().min(MOST_SETTLED)).collect();
        match self.ask(most, &batch).await {
            Ok(turned) => {
                self.failures = 0;
                self.shared.alive.turned();
                self.turned(now, most, &batch, turned);
            }
            Err(error) => {
                // Settling the same twice changes nothing.
                self.settlements.splice(..0, batch);
                self.is_unsure = true;
                self.failed(&error);
            }
        }
    }

    fn failed(&mut self, error: &Error) {
        self.failures += 1;
        let (queue, failures) = (&self.shared.queue.inner.name, self.failures);
        tracing::warn!(%queue, failures, %error, "a turn failed");
        self.idle_until = Instant::now() + AFTER_ERROR.delay(failures);
    }

    /// One turn at the server.
    async fn ask(&mut self, most: usize, settlements: &[Settlement]) -> Result<Turned> {
        let inner = &self.shared.queue.inner;
        if most > 0 && self.waiter.is_none() {
            // Registered here before the script records it: a message in between would find nobody.
            self.waiter = Some(inner.russet.inbox().waiter(LISTENING).await);
        }
        let waits = Waits {
            address: self.waiter.as_ref().map(Waiter::address).unwrap_or_default(),
            is_registered: self.is_registered,
            at_most: LONGEST_WAIT,
        };
        let (lease, kept) = (inner.settings.lease, inner.settings.kept);
        let is_whole = |fence, tasks| self.heart.is_whole(fence, tasks);
        let claimant = &self.claimant;
        let turn = Turn { most, lease, claimant, waits, kept, settlements, is_whole: &is_whole };
        scripts::turn(&inner.russet, &inner.place, turn).await
    }

    fn turned(&mut self, asked: Instant, most: usize, batch: &[Settlement], turned: Turned) {
        for (settlement, is_done) in batch.iter().zip(&turned.settled) {
            self.heart.settled(settlement.fence);
            if *is_done {
                settlement.kind.settled(&settlement.verdict);
            } else {
                settlement.kind.lost();
                tracing::warn!(task = %settlement.id, fence = settlement.fence, "a lease was lost before the end of its task");
            }
        }
        let claimed = turned.claimed.len();
        if most > 0 {
            self.is_registered = claimed < most;
            let wait = if claimed < most { turned.wait } else { Duration::ZERO };
            self.idle_until = Instant::now() + wait;
        } else {
            self.is_registered = false;
        }
        if most > 0 && claimed == 0 && self.running == 0 {
            self.shared.idle.notify_one();
        }
        if claimed > 0 {
            let length = self.shared.queue.inner.settings.lease;
            let lease = Arc::new(Lease::new(turned.fence, asked, length, &self.end));
            let tasks = turned.claimed;
            let cancels: Vec<_> = tasks.iter().map(|_| CancellationToken::new()).collect();
            let ids = tasks.iter().map(|(id, _)| *id);
            self.heart.keep(&lease, ids.zip(cancels.iter().cloned()).collect());
            let running = self.endings.begin(lease.fence, claimed);
            self.running += claimed;
            for ((task, cancelled), running) in tasks.into_iter().zip(cancels).zip(running) {
                self.begin(&lease, task, cancelled, running);
            }
        }
    }

    /// Gives a task to its handler.
    fn begin(
        &self,
        lease: &Arc<Lease>,
        (id, record): Claimed,
        cancelled: CancellationToken,
        running: Running,
    ) {
        let inner = &self.shared.queue.inner;
        let kind = inner.counting.kind(record.as_ref().map_or("other", |record| &record.name));
        kind.claimed(record.as_ref().and_then(|record| inner.waited(id, record)));
        let fence = lease.fence;
        let Some(record) = record else {
            let verdict = Verdict::Dead { error: "its record is of another version".into() };
            return running.end(Some(Settlement { id, fence, unique: None, verdict, kind }));
        };
        let context = TaskContext::new(&self.shared, id, fence, &self.claimant, record, cancelled);
        let lease = lease.clone();
        // It is moved some times on its way to its thread: what is large in it is behind a pointer.
        tokio::spawn(async move {
            let verdict = one(&context, &lease, &kind).await;
            let unique = context.record().unique.clone();
            let settlement = verdict.map(|verdict| Settlement { id, fence, unique, verdict, kind });
            running.end(settlement);
        });
    }

    /// Gives back what the server may have given in an answer that was lost.
    async fn recover(&mut self) -> Result<()> {
        let inner = &self.shared.queue.inner;
        let known = self.heart.claims();
        let back = scripts::recover(&inner.russet, &inner.place, &self.claimant, &known).await?;
        if back > 0 {
            tracing::info!(tasks = back, "what was claimed in a lost answer is given back");
        }
        self.is_unsure = false;
        Ok(())
    }

    async fn sweep(&self) {
        let inner = &self.shared.queue.inner;
        let keep = inner.settings.keep_dead;
        if let Err(error) = scripts::sweep(&inner.russet, &inner.place, None, keep).await {
            tracing::debug!(%error, "a sweep failed");
        }
    }
}

/// How often a loop ends what was kept long enough.
const SWEEP: Duration = Duration::from_secs(10);

/// Runs the handler of a task to its end; none when there is nothing to settle: the lease was lost, or the handler has
/// completed the task.
async fn one<S: Send + Sync + 'static>(
    context: &TaskContext<S>,
    lease: &Lease,
    kind: &Kind,
) -> Option<Verdict> {
    let (shared, record) = (context.shared(), context.record());
    let Some(handler) = shared.handlers.get(record.name.as_str()) else {
        return Some(Verdict::Dead {
            error: shortened(&format!("no handler for tasks {}", record.name)),
        });
    };
    let began = Instant::now();
    // A handler that is no `async fn` may panic before there is a future.
    let begun = catch_unwind(AssertUnwindSafe(|| handler(&record.body, context.clone())));
    let outcome: Option<Result<Result<Vec<u8>, BoxError>, _>> = match begun {
        Ok(Err(error)) => return Some(Verdict::Dead { error: shortened(&error.to_string()) }),
        Err(panic) => Some(Err(panic)),
        Ok(Ok(work)) => {
            let work = pin!(AssertUnwindSafe(work).catch_unwind());
            match record.timeout {
                None => lease.hold(work).await,
                Some(time) => {
                    let work = Box::pin(timeout(time, work));
                    let done = lease.hold(pin!(work)).await;
                    done.map(|done| {
                        done.unwrap_or_else(|_| {
                            Ok(Err(format!("it took longer than {time:?}, its timeout").into()))
                        })
                    })
                }
            }
        }
    };
    kind.ran(began.elapsed());
    if context.is_completed() {
        kind.completed();
        return None;
    }
    let outcome = match outcome {
        Some(outcome) => outcome,
        None if lease.is_lost() => {
            kind.lost();
            return None;
        }
        // The worker ends.
        None => return Some(Verdict::Release),
    };
    let attempt = record.attempts + 1;
    let inner = &shared.queue.inner;
    let error = match outcome {
        Ok(Ok(result)) => {
            return Some(match record.keep_result {
                Some(keep) => Verdict::Keep {
                    ms: millis(keep),
                    name: record.name.clone(),
                    attempt,
                    result: inner.kept(result),
                },
                None => Verdict::Ack { attempt },
            });
        }
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("it panicked: {}", said(&*panic)),
    };
    tracing::warn!(queue = %inner.name, task = %context.id(), name = %record.name, attempt, error = %shortened(&error), "an attempt failed");
    Some(match context.is_cancelled() {
        true => Verdict::Cancelled,
        false => inner.failed(record, &error),
    })
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("nothing")
}
