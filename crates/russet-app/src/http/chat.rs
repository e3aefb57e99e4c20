//! `/api/chat/…`: the rooms' history, and the conversation over a WebSocket.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use russet::{Event, MessageId, SessionId, Sessions, Subscription};
use russet_axum::extract::{Json, Path, Query};
use russet_axum::rate_limit::{Key, by};
use russet_axum::{ApiError, Visitor};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};
use utoipa::IntoParams;

use super::openapi::ErrorBody;
use crate::AppState;
use crate::chat::{Chat, Member, Message, Name, News, Pace, Place, Room, Speaker, Text};

/// The history that a conversation begins with.
const RECENT: usize = 50;
/// The largest frame of a client: a text of 1,000 characters, with room.
const LONGEST_FRAME: usize = 8 * 1024;
/// How often a silent client is asked for a sign of life, and after how long without one it is given up.
const ASK: Duration = Duration::from_secs(20);
const GIVE_UP: Duration = Duration::from_secs(60);
/// Between two tries to read the history for a client that waits for it.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a client may leave a frame unread.
const READ: Duration = Duration::from_secs(10);
/// How long the end of a conversation waits for the client's own word of it.
const GOODBYE: Duration = Duration::from_secs(2);
/// How often it is looked at whether somebody is still signed in.
const LOOK: Duration = Duration::from_secs(10);
/// Somebody who types is told no more often than this.
const TYPES: Duration = Duration::from_secs(2);
/// How many of those who are there are told by name.
const NAMED: usize = 200;
/// Whose refusals are so many more than its messages is cut off.
const PATIENCE: u32 = 100;

/// Which part of a room's history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// How many messages at most. Default 50.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// Only messages before the one with this id.
    before: Option<String>,
}

/// Who talks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Who {
    /// 1 to 40 characters on one line. Who is signed in has the account's name, whatever stands here.
    #[param(required = false, value_type = String)]
    name: Option<String>,
}

/// A word of the server.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Word<'a> {
    /// The newest messages, the oldest of them first: at the beginning, and after a gap.
    History { messages: &'a [Message] },
    /// Somebody said this. It may come twice; the id tells.
    Message(&'a Message),
    /// Messages were missed: the history follows.
    Gap,
    /// Who is here: at the beginning, and when that has changed. The first 200 by name, and how many there are.
    Here { people: &'a [Speaker], count: usize },
    /// Somebody else is typing.
    Typing(&'a Speaker),
    /// What the client sent was not taken.
    Error { error: &'a str },
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    text: Option<String>,
    typing: Option<bool>,
}

/// What was taken of it.
enum Taken {
    Message(Box<Message>),
    Typing,
}

/// The newest messages of a room, the oldest of them first.
#[utoipa::path(get, path = "/api/chat/{room}/messages", operation_id = "chat_history", tag = "chat",
    params(("room" = String, Path, description = "1 to 40 of the characters a-z, 0-9 and -", example = "lobby"), Page),
    responses(
        (status = 200, description = "The messages; none in a room that nobody has spoken in", body = [Message]),
        (status = 400, description = "Not a room, or a parameter is wrong", body = ErrorBody),
        (status = 503, description = "Redis is away", body = ErrorBody),
    ))]
pub async fn messages(
    State(app): State<AppState>,
    Path(room): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Message>>, ApiError> {
    let room: Room = room.parse().map_err(ApiError::bad_request)?;
    let limit = page.limit.unwrap_or(RECENT);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::bad_request("limit must be 1 to 100"));
    }
    let before = page.before.map(|id| id.parse::<MessageId>()).transpose();
    let before = before.map_err(|_| ApiError::bad_request("before is no id of a message"))?;
    Ok(Json(app.chat.history(&room, limit, before).await?))
}

/// Those who join a room, by the address that they come from; all that have none are one.
pub(super) fn who_joins() -> Key {
    by(|parts| {
        let path = parts.uri.path();
        let room = path.strip_prefix("/api/chat/")?.strip_suffix("/ws")?;
        // Behind a proxy the client's.
        let address = parts.extensions.get::<Visitor>().and_then(Visitor::address);
        let is_room = !room.contains('/');
        is_room.then(|| address.map_or_else(|| "-".to_owned(), |address| address.to_string()))
    })
}

/// Joins a room: a WebSocket.
///
/// The client sends `{"text": "…"}`, and `{"typing": true}` while it writes. The server sends `{"type": "history", "messages": […]}` at
/// the beginning, `{"type": "message", "id": "…", "at": …, "name": "…", "signed_in": …, "text": "…"}` for what is said, `{"type":
/// "gap"}` and the history again when something was missed, `{"type": "here", "people": [{"name": "…", "signed_in": …}], "count":
/// …}` when somebody comes or goes, `{"type": "typing", "name": "…", "signed_in": …}` while somebody else writes, and `{"type":
/// "error", "error": "…"}` for what it does not take. A message may come twice; its id tells. Whose session ends is closed within
/// ten seconds.
#[utoipa::path(get, path = "/api/chat/{room}/ws", operation_id = "join_chat", tag = "chat",
    params(("room" = String, Path, description = "1 to 40 of the characters a-z, 0-9 and -", example = "lobby"), Who),
    responses(
        (status = 101, description = "The connection is a WebSocket from now on"),
        (status = 400, description = "Not a room, not a name, or not a request for a WebSocket", body = ErrorBody),
        (status = 429, description = "This address joined too often: a burst of 60, and 120 a minute, over all processes", body = ErrorBody),
        (status = 503, description = "Redis is away, or there are too many conversations, of all or of this client", body = ErrorBody),
    ))]
pub async fn join(
    State(app): State<AppState>,
    Path(room): Path<String>,
    Query(who): Query<Who>,
    visitor: Visitor,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let room: Room = room.parse().map_err(ApiError::bad_request)?;
    let session = visitor.session().await?;
    let name = session.as_ref().map(|session| session.user().to_owned()).or(who.name);
    let name: Name = name.unwrap_or_default().parse().map_err(ApiError::bad_request)?;
    let speaker = Speaker { name, signed_in: session.is_some() };
    let whose = match (&session, visitor.address()) {
        (Some(session), _) => format!("account {}", session.user()),
        (None, Some(address)) => format!("address {address}"),
        (None, None) => "unknown".to_owned(),
    };
    let upgrade = upgrade.map_err(|rejection| {
        ApiError::bad_request("this route speaks WebSocket only").caused_by(rejection)
    })?;
    let chat = app.chat;
    let place = chat.place(&whose);
    let place =
        place.ok_or_else(|| ApiError::unavailable("there are too many conversations here"))?;
    let login = session.map(|session| Login {
        sessions: visitor.sessions().clone(),
        user: session.user().to_owned(),
        id: session.id(),
    });
    // Before the history is read: what is said in between comes twice, and nothing is missed.
    let heard = chat.listen(&room).await?;
    let upgrade = upgrade.max_message_size(LONGEST_FRAME).max_frame_size(LONGEST_FRAME);
    Ok(upgrade.on_upgrade(async move |socket| {
        let rooms = chat.clone();
        let conversation = Conversation {
            socket,
            member: chat.enter(&room, speaker.clone()),
            chat,
            room,
            speaker,
            whose,
            login,
            pace: Pace::new(),
            typed: None,
            owes_history: false,
            refused: 0,
        };
        rooms.converse(conversation.run(heard, place));
    }))
}

/// One client in one room.
struct Conversation {
    socket: WebSocket,
    chat: Chat,
    room: Room,
    speaker: Speaker,
    member: Member,
    /// Which account or address it counts for.
    whose: String,
    /// By which session it was begun.
    login: Option<Login>,
    pace: Pace,
    /// When it was told last that this one is typing.
    typed: Option<Instant>,
    /// Whether the history is to be told as soon as Redis answers.
    owes_history: bool,
    /// How many more messages were not taken than taken.
    refused: u32,
}

/// The session of somebody who talks.
struct Login {
    sessions: Sessions,
    user: String,
    id: SessionId,
}

/// Why a conversation ends, as the client is told.
struct End(u16, &'static str);

/// The client is gone: there is nobody to tell.
const GONE: End = End(close_code::NORMAL, "");

impl Conversation {
    async fn run(mut self, heard: Subscription<Message>, _place: Place) {
        let End(code, reason) = match self.talk(heard).await {
            Err(end) => end,
            Ok(never) => match never {},
        };
        let frame = CloseFrame { code, reason: reason.into() };
        let goodbye = async {
            self.socket.send(Frame::Close(Some(frame))).await?;
            // Until the client has said so, too: what it has not read would be lost with the connection.
            while self.socket.recv().await.is_some_and(|frame| frame.is_ok()) {}
            Ok::<_, axum::Error>(())
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }

    async fn talk(
        &mut self,
        mut heard: Subscription<Message>,
    ) -> Result<std::convert::Infallible, End> {
        let chat = self.chat.clone();
        let mut ask = interval(ASK);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_sign = Instant::now();
        self.tell_history().await?;
        self.tell_here().await?;
        loop {
            tokio::select! {
                () = chat.closed() => return Err(End(close_code::AWAY, "the server stops")),
                event = heard.next() => match event {
                    Some(Event::Message(message)) => self.tell(&Word::Message(&message)).await?,
                    Some(Event::Gap | Event::Lagged(_)) => {
                        self.tell(&Word::Gap).await?;
                        self.tell_history().await?;
                    }
                    // What another version said.
                    Some(_) => {}
                    None => return Err(End(close_code::ERROR, "the rooms are closed")),
                },
                frame = self.socket.recv() => {
                    last_sign = Instant::now();
                    match frame {
                        Some(Ok(Frame::Text(text))) => self.take(text.as_str()).await?,
                        Some(Ok(Frame::Binary(_))) => {
                            return Err(End(close_code::UNSUPPORTED, "only text is taken"));
                        }
                        // Pings are answered below.
                        Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                        Some(Ok(Frame::Close(_)) | Err(_)) | None => return Err(GONE),
                    }
                },
                news = self.member.next() => match news {
                    News::Here => self.tell_here().await?,
                    News::Typing(speaker) => self.tell(&Word::Typing(&speaker)).await?,
                },
                _ = look.tick(), if self.login.is_some() => self.look().await?,
                // The channels may be back before what is kept can be read.
                _ = again.tick(), if self.owes_history => self.tell_history().await?,
                _ = ask.tick() => {
                    if last_sign.elapsed() > GIVE_UP {
                        return Err(GONE);
                    }
                    self.send(Frame::Ping(Default::default())).await?;
                }
            }
        }
    }

    /// Takes what the client said, or tells it why not.
    async fn take(&mut self, frame: &str) -> Result<(), End> {
        let taken = match serde_json::from_str::<Said>(frame) {
            Ok(Said { text: Some(text), typing: None }) => self.say(text.parse()).await,
            Ok(Said { text: None, typing: Some(is_typing) }) => self.types(is_typing).await,
            Ok(_) => self.say(Err("this is no message: text is missing")).await,
            Err(error) => match self.step() {
                Ok(()) => Err(format!("this is no message: {error}")),
                Err(early) => Err(early),
            },
        };
        match taken {
            Ok(taken) => {
                self.refused = self.refused.saturating_sub(1);
                match taken {
                    Taken::Message(message) => self.tell(&Word::Message(&message)).await,
                    Taken::Typing => Ok(()),
                }
            }
            Err(error) => {
                self.refused += 1;
                if self.refused > PATIENCE {
                    return Err(End(close_code::POLICY, "too many messages were not taken"));
                }
                self.tell(&Word::Error { error: &error }).await
            }
        }
    }

    async fn say(&mut self, text: Result<Text, &'static str>) -> Result<Taken, String> {
        self.step()?;
        let text = text?;
        let away = |error: russet::Error| {
            tracing::debug!(%error, "a message of the chat was not kept");
            ApiError::from(error).to_string()
        };
        self.chat.may_say(&self.whose).await.map_err(away)?.map_err(too_fast)?;
        let message = self.chat.say(&self.room, &self.speaker, text).await.map_err(away)?;
        Ok(Taken::Message(Box::new(message)))
    }

    /// Tells the others. What comes too often is left out, and no fault unless it goes on.
    async fn types(&mut self, is_typing: bool) -> Result<Taken, String> {
        if self.typed.is_some_and(|typed| typed.elapsed() < TYPES) {
            self.step()?;
        } else if is_typing {
            self.typed = Some(Instant::now());
            self.member.types().await;
        }
        Ok(Taken::Typing)
    }

    fn step(&mut self) -> Result<(), String> {
        self.pace.step().map_err(too_fast)
    }

    /// Ends for whoever is signed out. While Redis is away nobody is: nothing is said then either.
    async fn look(&mut self) -> Result<(), End> {
        let Some(Login { sessions, user, id }) = &self.login else { return Ok(()) };
        match sessions.find(user, *id).await {
            Ok(None) => Err(End(close_code::POLICY, "signed out")),
            Ok(Some(_)) | Err(_) => Ok(()),
        }
    }

    async fn tell_here(&mut self) -> Result<(), End> {
        let here = self.member.here();
        let people = here.get(..NAMED).unwrap_or(&here);
        self.tell(&Word::Here { people, count: here.len() }).await
    }

    /// Tells the newest messages; when Redis is away that is owed, and said once.
    async fn tell_history(&mut self) -> Result<(), End> {
        let was_owed = self.owes_history;
        let history = self.chat.history(&self.room, RECENT, None).await;
        self.owes_history = history.is_err();
        match history {
            Ok(messages) => self.tell(&Word::History { messages: &messages }).await,
            Err(_) if was_owed => Ok(()),
            Err(error) => {
                self.tell(&Word::Error { error: &ApiError::from(error).to_string() }).await
            }
        }
    }

    async fn tell(&mut self, word: &Word<'_>) -> Result<(), End> {
        let text = serde_json::to_string(word)
            .map_err(|_| End(close_code::ERROR, "a message cannot be written"))?;
        self.send(Frame::Text(text.into())).await
    }

    async fn send(&mut self, frame: Frame) -> Result<(), End> {
        match timeout(READ, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(GONE),
        }
    }
}

fn too_fast(wait: Duration) -> String {
    format!("too fast: wait {:.1} seconds", wait.as_secs_f64().max(0.1))
}
