//! A connection that heals itself: the reconnecter in the background, the breaker in front.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::{Instant as Deadline, timeout_at},
};

use super::{breaker::Breaker, connection::Connection, places::Target, settings::Settings};
use crate::{
    backoff::Backoff,
    clock::ServerClock,
    error::{Advice, Error, ErrorKind, Result},
    service::{Rest, Service},
};

const RECONNECT: Backoff =
    Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(500) };
/// How often an open breaker lets one try through.
const PROBE: Duration = Duration::from_millis(200);

/// How soon after one another connections to a server that refuses writes are given up.
const RETIRE: Duration = Duration::from_millis(200);

/// The way to one server. Ends when it is dropped.
pub(super) struct Link {
    shared: Arc<Shared>,
    reconnecter: Service,
}

struct Shared {
    settings: Arc<Settings>,
    target: Target,
    clock: Arc<ServerClock>,
    breaker: Breaker,
    state: watch::Sender<State>,
    generation: AtomicU64,
    failures: AtomicU32,
    /// A call was not answered in time: the reconnecter asks whether the connection still lives.
    suspect: AtomicBool,
    retired: Mutex<Option<Instant>>,
}

#[derive(Clone)]
enum State {
    Up(Connection),
    Down(Error),
}

impl Link {
    /// Starts to connect in the background of this runtime.
    pub(super) fn start(
        target: Target,
        settings: Arc<Settings>,
        clock: Arc<ServerClock>,
        runtime: &Handle,
    ) -> Self {
        let waiting = Error::new(
            ErrorKind::Unreachable,
            Advice::RetryAfter(RECONNECT.base),
            format_args!("no connection to the Redis server at {target} yet"),
        );
        let shared = Arc::new(Shared {
            settings,
            target,
            clock,
            breaker: Breaker::default(),
            state: watch::Sender::new(State::Down(waiting)),
            generation: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            suspect: AtomicBool::new(false),
            retired: Mutex::default(),
        });
        let work = shared.clone();
        let reconnecter = Service::start_on(runtime, "reconnecter", move |signals| {
            let work = work.clone();
            async move { Ok(work.round(signals.wake).await) }
        });
        Self { shared, reconnecter }
    }

    /// The open connection, if there is one that is trusted.
    pub(super) fn ready(&self) -> Option<Connection> {
        match &*self.shared.state.borrow() {
            State::Up(connection) if !self.shared.breaker.is_open() => Some(connection.clone()),
            _ => None,
        }
    }

    /// The open connection, waited for until the deadline; at once an error while the breaker is open.
    pub(super) async fn connection(&self, deadline: Deadline) -> Result<Connection> {
        if let Some(connection) = self.ready() {
            return Ok(connection);
        }
        let mut state = self.shared.state.subscribe();
        let settled = state.wait_for(|state| match state {
            State::Up(_) => true,
            State::Down(why) => self.shared.breaker.is_open() || why.advice() == Advice::GiveUp,
        });
        if let Ok(Ok(state)) = timeout_at(deadline, settled).await
            && let State::Up(connection) = &*state
            && !self.shared.breaker.is_open()
        {
            return Ok(connection.clone());
        }
        Err(self.shared.why_down())
    }

    /// Waits for the first connection, whatever the breaker says.
    pub(super) async fn first(&self, deadline: Deadline) -> Result<()> {
        let mut state = self.shared.state.subscribe();
        let settled = state.wait_for(|state| match state {
            State::Up(_) => true,
            State::Down(why) => why.advice() == Advice::GiveUp,
        });
        if let Ok(Ok(state)) = timeout_at(deadline, settled).await
            && matches!(*state, State::Up(_))
        {
            return Ok(());
        }
        Err(self.shared.why_down())
    }

    /// A call found this connection lost.
    pub(super) fn lost(&self, connection: &Connection) {
        connection.close();
        if self.shared.lost(connection.generation, "the connection was lost") {
            self.reconnecter.wake();
        }
    }

    /// A call on this connection was not answered by its deadline.
    pub(super) fn unanswered(&self, connection: &Connection) {
        if !connection.has_ended() {
            self.shared.failed();
            self.shared.suspect.store(true, Ordering::Relaxed);
            self.reconnecter.wake();
        }
    }

    /// The server refuses writes here: it was a primary, and another one is now. Later calls get a new connection; the
    /// calls that wait on this one get their answers.
    pub(super) fn retire(&self, connection: &Connection) {
        let mut retired = self.shared.retired.lock().unwrap_or_else(PoisonError::into_inner);
        if retired.is_some_and(|at| at.elapsed() < RETIRE) {
            return;
        }
        *retired = Some(Instant::now());
        if self.shared.lost(connection.generation, "the server takes no writes") {
            self.reconnecter.wake();
            connection.close_after(self.shared.settings.timeout);
        }
    }

    /// Ends the connection and the reconnecter, and waits for them; calls fail from now on.
    pub(super) async fn close(&self) {
        self.reconnecter.join().await;
        let closed = Error::new(ErrorKind::Unreachable, Advice::GiveUp, "the handle was closed");
        if let State::Up(connection) = self.shared.state.send_replace(State::Down(closed)) {
            connection.close();
        }
    }

    pub(super) fn target(&self) -> &Target {
        &self.shared.target
    }
}

impl Shared {
    /// One round of the reconnecter: nothing to do, ask a suspect, or one try to connect.
    async fn round(self: Arc<Self>, wake: Arc<Notify>) -> Rest {
        let state = self.state.borrow().clone();
        match state {
            State::Up(connection) => self.ask(connection).await,
            State::Down(_) => self.connect(wake).await,
        }
    }

    async fn ask(&self, connection: Connection) -> Rest {
        if !self.suspect.swap(false, Ordering::Relaxed) && !self.breaker.is_open() {
            return Rest::UntilWoken;
        }
        if connection.answers(self.settings.connect_timeout).await {
            self.recovered();
            return Rest::UntilWoken;
        }
        // It left a call without an answer, and then this question: every further call would wait out its deadline to
        // learn the same, and a single caller would never fail three times within a second.
        if self.breaker.trip() {
            self.breaker_opened();
        }
        // The driver's end sets the state; no call can be waiting on this connection after that.
        connection.close();
        Rest::UntilWoken
    }

    async fn connect(self: &Arc<Self>, wake: Arc<Notify>) -> Rest {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        // Not the state itself: it holds the connection, which would never be dropped.
        let shared = Arc::downgrade(self);
        let on_end = move || {
            // Only for the connection in use: one that failed while it was opened is tried again with backoff.
            if shared
                .upgrade()
                .is_some_and(|shared| shared.lost(generation, "the connection was lost"))
            {
                wake.notify_one();
            }
        };
        match Connection::open(&self.settings, &self.target, generation, on_end).await {
            Ok((connection, server_ms)) => {
                self.clock.learn(server_ms);
                self.recovered();
                self.state.send_replace(State::Up(connection.clone()));
                // It may have ended before it was in use, when its last word changed nothing.
                if connection.has_ended() {
                    self.lost(generation, "the connection was lost");
                    return Rest::For(RECONNECT.delay(1));
                }
                Rest::UntilWoken
            }
            Err(why) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                if failures == 1 {
                    tracing::warn!(server = %self.target, error = %why, "cannot connect");
                }
                self.failed();
                self.state.send_replace(State::Down(why));
                Rest::For(if self.breaker.is_open() { PROBE } else { RECONNECT.delay(failures) })
            }
        }
    }

    /// Takes a lost connection out of use; answers whether it was in use.
    fn lost(&self, generation: u64, how: &str) -> bool {
        let why = Error::new(
            ErrorKind::Unreachable,
            Advice::RetryAfter(RECONNECT.base),
            format_args!("no connection to the Redis server at {}: {how}", self.target),
        );
        let in_use = self.state.send_if_modified(|state| match state {
            State::Up(connection) if connection.generation == generation => {
                *state = State::Down(why);
                true
            }
            _ => false,
        });
        if in_use {
            tracing::warn!(server = %self.target, "{how}");
            self.failed();
        }
        in_use
    }

    fn failed(&self) {
        if self.breaker.failed(Instant::now()) {
            self.breaker_opened();
        }
    }

    fn breaker_opened(&self) {
        tracing::warn!(server = %self.target, "calls fail at once until the server answers");
    }

    fn recovered(&self) {
        self.failures.store(0, Ordering::Relaxed);
        if self.breaker.recovered() {
            tracing::info!(server = %self.target, "the server answers again");
        }
    }

    fn why_down(&self) -> Error {
        match &*self.state.borrow() {
            State::Down(why) => why.clone(),
            State::Up(_) => Error::new(
                ErrorKind::Unreachable,
                Advice::RetryAfter(PROBE),
                format_args!("the Redis server at {} has not answered several calls", self.target),
            ),
        }
    }
}
