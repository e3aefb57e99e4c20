//! Who is in a room, over all processes, and who is typing.
//!
//! Nothing of it is kept. Each process tells the others by a message who is in a room with it: when that changes, when one of them
//! asks, and every five seconds. What was not heard again for three times as long is gone, so that nobody stays whose process was killed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russet::{Event, PubSub, Subscription};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Room, Speaker};

/// How often a process tells who is with it, and after how long without a word it is gone.
const BEAT: Duration = Duration::from_secs(5);
const GONE: Duration = Duration::from_secs(15);
/// Who types is told to those who listen fast enough.
const TYPING: usize = 16;

/// What processes tell each other of a room.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Live {
    /// Who is here with one of them; whether it wants to hear that of the others.
    Here { from: u64, people: Vec<Speaker>, asks: bool },
    /// Somebody is typing.
    Typing { member: u64, speaker: Speaker },
}

/// The rooms in which somebody of this process is.
#[derive(Debug, Clone)]
pub(super) struct Presence {
    live: PubSub,
    rooms: Arc<Mutex<HashMap<Room, Arc<InRoom>>>>,
    tasks: TaskTracker,
}

/// A room, as seen by those of this process who are in it.
#[derive(Debug)]
struct InRoom {
    /// Another one each time that a room is entered by the first of this process.
    id: u64,
    members: Mutex<HashMap<u64, Speaker>>,
    others: Mutex<HashMap<u64, Heard>>,
    changed: Notify,
    here: watch::Sender<Arc<[Speaker]>>,
    typing: broadcast::Sender<(u64, Speaker)>,
    end: CancellationToken,
}

/// What another process has told.
#[derive(Debug)]
struct Heard {
    people: Vec<Speaker>,
    at: Instant,
}

/// Somebody in a room, until it is dropped.
#[derive(Debug)]
pub struct Member {
    presence: Presence,
    room: Room,
    number: u64,
    in_room: Arc<InRoom>,
    here: watch::Receiver<Arc<[Speaker]>>,
    typing: broadcast::Receiver<(u64, Speaker)>,
}

/// What somebody in a room learns.
#[derive(Debug)]
pub(crate) enum News {
    /// Somebody came or went.
    Here,
    /// One of the others is typing.
    Typing(Speaker),
}

impl Presence {
    pub(super) fn new(live: PubSub) -> Self {
        Self { live, rooms: Arc::default(), tasks: TaskTracker::new() }
    }

    /// Somebody comes into a room. The others learn of it by and by; nothing is waited for.
    pub(super) fn enter(&self, room: &Room, speaker: Speaker) -> Member {
        let number = rand::random();
        let mut rooms = lock(&self.rooms);
        let in_room = rooms.entry(room.clone()).or_insert_with(|| self.open(room)).clone();
        // Under the lock: whoever leaves as the last one does not end it in between.
        lock(&in_room.members).insert(number, speaker);
        drop(rooms);
        in_room.tell();
        Member {
            presence: self.clone(),
            room: room.clone(),
            number,
            here: in_room.here.subscribe(),
            typing: in_room.typing.subscribe(),
            in_room,
        }
    }

    fn open(&self, room: &Room) -> Arc<InRoom> {
        let in_room = Arc::new(InRoom {
            id: rand::random(),
            members: Mutex::default(),
            others: Mutex::default(),
            changed: Notify::new(),
            here: watch::Sender::new(Arc::default()),
            typing: broadcast::Sender::new(TYPING),
            end: CancellationToken::new(),
        });
        let (live, channel) = (self.live.clone(), channel(room));
        self.tasks.spawn(in_room.clone().keep(live, channel));
        in_room
    }

    /// Waits until the others were told that nobody is here any more.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl InRoom {
    /// Tells the others until the last one leaves.
    async fn keep(self: Arc<Self>, live: PubSub, channel: String) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard: Option<Subscription<Live>> = None;
        loop {
            let mut asks = false;
            tokio::select! {
                () = self.end.cancelled() => break,
                () = self.changed.notified() => {}
                _ = beat.tick() => {
                    if heard.is_none() {
                        heard = live.subscribe(&channel).await.ok();
                        asks = true;
                    }
                }
                event = next(&mut heard) => match event {
                    Some(Event::Message(word)) => {
                        if !self.hears(word) {
                            continue;
                        }
                    }
                    Some(_) => asks = true,
                    None => {
                        heard = None;
                        continue;
                    }
                },
            }
            self.tell();
            self.announce(&live, &channel, asks).await;
        }
        // Nobody is left.
        self.announce(&live, &channel, false).await;
    }

    /// Takes in what another process tells; answers whether it wants to be told.
    fn hears(&self, word: Live) -> bool {
        match word {
            Live::Here { from, .. } if from == self.id => false,
            Live::Here { from, people, asks } => {
                let mut others = lock(&self.others);
                if people.is_empty() {
                    others.remove(&from);
                } else {
                    others.insert(from, Heard { people, at: Instant::now() });
                }
                drop(others);
                self.tell();
                asks
            }
            Live::Typing { member, speaker } => {
                // Without anybody to hear it.
                let _ = self.typing.send((member, speaker));
                false
            }
        }
    }

    /// Tells those of this process who is there.
    fn tell(&self) {
        let mut all: BTreeSet<Speaker> = lock(&self.members).values().cloned().collect();
        let mut others = lock(&self.others);
        others.retain(|_, heard| heard.at.elapsed() < GONE);
        all.extend(others.values().flat_map(|heard| heard.people.iter().cloned()));
        drop(others);
        let all: Arc<[Speaker]> = all.into_iter().collect();
        self.here.send_if_modified(|here| {
            let is_new = *here != all;
            *here = all;
            is_new
        });
    }

    async fn announce(&self, live: &PubSub, channel: &str, asks: bool) {
        let people: BTreeSet<Speaker> = lock(&self.members).values().cloned().collect();
        let here = Live::Here { from: self.id, people: people.into_iter().collect(), asks };
        if let Err(error) = live.publish(channel, &here).await {
            tracing::debug!(%error, "it was not told who is in a room");
        }
    }
}

impl Member {
    /// Tells the others that this one is typing.
    pub(crate) async fn types(&self) {
        let speaker = lock(&self.in_room.members).get(&self.number).cloned();
        let Some(speaker) = speaker else { return };
        let word = Live::Typing { member: self.number, speaker };
        if let Err(error) = self.presence.live.publish(&channel(&self.room), &word).await {
            tracing::debug!(%error, "it was not told who is typing");
        }
    }

    /// Who is there, as far as is known here.
    pub(crate) fn here(&mut self) -> Arc<[Speaker]> {
        self.here.borrow_and_update().clone()
    }

    /// What happens next. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> News {
        let Self { here, typing, number, .. } = self;
        loop {
            // Both senders live as long as this.
            tokio::select! {
                _ = here.changed() => return News::Here,
                heard = typing.recv() => match heard {
                    Ok((member, speaker)) if member != *number => return News::Typing(speaker),
                    // Oneself, or too many were typing to hear of each.
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut rooms = lock(&self.presence.rooms);
        let mut members = lock(&self.in_room.members);
        members.remove(&self.number);
        if members.is_empty() {
            rooms.remove(&self.room);
            self.in_room.end.cancel();
        } else {
            self.in_room.changed.notify_one();
        }
    }
}

/// Who listens to nothing waits for ever.
async fn next(heard: &mut Option<Subscription<Live>>) -> Option<Event<Live>> {
    match heard {
        Some(heard) => heard.next().await,
        None => std::future::pending().await,
    }
}

fn channel(room: &Room) -> String {
    format!("chat.{room}.live")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
