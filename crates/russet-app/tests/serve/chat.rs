//! The chat over real sockets: several processes, what is refused, and what happens when something is away.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use russet::testing::{Proxy, TestServer, eventually};
use russet_app::access::Access;
use russet_app::accounts::Password;
use russet_axum::Server;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::App;
use crate::support::program::{DataFolder, Serve};

const LONG: Duration = Duration::from_secs(60);

/// Somebody in a room.
struct Talker {
    socket: WebSocketStream<TcpStream>,
}

impl Talker {
    async fn join(address: SocketAddr, room: &str, name: &str) -> Talker {
        let mut talker = Talker::try_join(address, &path(room, name), &[]).await.unwrap();
        assert_eq!(talker.hears().await["type"], "history");
        talker
    }

    /// With more headers; a refusal is an HTTP answer.
    async fn try_join(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Talker, u16> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Talker { socket }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    async fn says(&mut self, text: &str) {
        self.sends(Frame::text(json!({ "text": text }).to_string())).await;
    }

    async fn sends(&mut self, frame: Frame) {
        self.socket.send(frame).await.unwrap();
    }

    /// The next frame, signs of life left out.
    async fn frame(&mut self) -> Frame {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                    Some(Ok(frame)) => return frame,
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::time::timeout(LONG, next).await.expect("a word")
    }

    /// The next word, but for those of who is there.
    async fn hears(&mut self) -> Value {
        loop {
            let word = self.word().await;
            if word["type"] != "here" && word["type"] != "typing" {
                return word;
            }
        }
    }

    async fn word(&mut self) -> Value {
        let frame = self.frame().await;
        serde_json::from_str(frame.to_text().unwrap()).unwrap_or_else(|_| panic!("{frame:?}"))
    }

    /// The next message that is not `known`: one may come twice.
    async fn hears_new(&mut self, known: &mut Vec<String>) -> Value {
        loop {
            let word = self.hears().await;
            assert_eq!(word["type"], "message", "{word}");
            let id = word["id"].as_str().unwrap().to_owned();
            if !known.contains(&id) {
                known.push(id);
                return word;
            }
        }
    }

    /// The next refusal; messages are passed over.
    async fn refused(&mut self) -> String {
        loop {
            let word = self.hears().await;
            if word["type"] == "error" {
                return word["error"].as_str().unwrap().to_owned();
            }
        }
    }

    /// Waits for the end, and answers why.
    async fn ended(&mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Frame::Close(Some(why)) => return (why.code.into(), why.reason.to_string()),
                Frame::Close(None) => return (1005, String::new()),
                _ => {}
            }
        }
    }
}

fn path(room: &str, name: &str) -> String {
    format!("/api/chat/{room}/ws?name={name}")
}

/// The application of this process on a socket; it stops when the sender is dropped.
async fn listening(app: &App) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (router, chat) = (app.router.clone(), app.state.chat.clone());
    let serving = tokio::spawn(async move {
        let stop = async {
            let _ = stopped.await;
            chat.close().await;
        };
        Server::new().serve(listener, router, stop).await;
    });
    (address, stop, serving)
}

async fn history(app: &App, room: &str) -> Vec<Value> {
    app.get(&format!("/api/chat/{room}/messages")).await.json().as_array().unwrap().clone()
}

#[tokio::test]
async fn two_processes_on_one_server_hear_each_other_and_have_one_history() {
    let server = TestServer::start().await.unwrap();
    let (one, two) = (DataFolder::new(), DataFolder::new());
    let url = server.url();
    let first = Serve::run(&Serve::command(&one, &["--redis-url", &url])).await;
    let second = Serve::run(&Serve::command(&two, &["--redis-url", &url])).await;
    let mut ada = Talker::join(first.address, "lobby", "Ada").await;
    let mut bob = Talker::join(second.address, "lobby", "Bob").await;
    let mut other = Talker::join(second.address, "other", "Eve").await;

    let (mut known_to_ada, mut known_to_bob) = (Vec::new(), Vec::new());
    for round in 0..3 {
        ada.says(&format!("hello {round}")).await;
        for (talker, known) in [(&mut ada, &mut known_to_ada), (&mut bob, &mut known_to_bob)] {
            let heard = talker.hears_new(known).await;
            assert_eq!(
                (heard["name"].as_str(), heard["text"].as_str()),
                (Some("Ada"), Some(&*format!("hello {round}")))
            );
            assert!(heard["at"].as_f64() > Some(1_700_000_000.0), "{heard}");
        }
        bob.says("<b>hi</b>").await;
        for (talker, known) in [(&mut ada, &mut known_to_ada), (&mut bob, &mut known_to_bob)] {
            assert_eq!(talker.hears_new(known).await["text"], "<b>hi</b>");
        }
    }
    assert_eq!(known_to_ada, known_to_bob);
    let read = first.get("/api/chat/lobby/messages").await.json();
    assert_eq!(read, second.get("/api/chat/lobby/messages").await.json());
    let ids: Vec<_> =
        read.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, known_to_ada, "the oldest first");

    // Who comes later begins with what was said; who was elsewhere heard none of it.
    let mut late = Talker::try_join(first.address, &path("lobby", "Late"), &[]).await.unwrap();
    assert_eq!(late.hears().await["messages"], read);
    other.says("alone").await;
    assert_eq!(other.hears_new(&mut Vec::new()).await["text"], "alone");

    // What is kept outlives the processes.
    assert!(first.stop().await.success() && second.stop().await.success());
    let again = Serve::run(&Serve::command(&one, &["--redis-url", &url])).await;
    assert_eq!(again.get("/api/chat/lobby/messages").await.json(), read);
    assert!(again.stop().await.success());
}

#[tokio::test]
async fn a_stop_tells_everybody_and_is_not_held_up_by_them() {
    let folder = DataFolder::new();
    let serve = Serve::start(&folder).await;
    let mut talkers = Vec::new();
    for number in 0..20 {
        talkers.push(Talker::join(serve.address, "lobby", &format!("n{number}")).await);
    }
    serve.process.terminate().unwrap();
    for talker in &mut talkers {
        assert_eq!(talker.ended().await, (1001, "the server stops".to_owned()));
    }
    assert!(crate::support::program::ended(&serve.process).await.success());
}

#[tokio::test]
async fn what_is_not_a_message_is_refused_and_the_conversation_goes_on() {
    let app = App::start().await;
    let (address, _stop, _) = listening(&app).await;
    let mut ada = Talker::join(address, "lobby", "Ada").await;
    for (frame, word) in [
        ("", "this is no message"),
        ("hello", "this is no message"),
        (r#"{"text": 1}"#, "this is no message"),
        (r#"{"text": "x", "name": "Bob"}"#, "unknown field `name`"),
        (r#"{"text": "  "}"#, "text is missing or empty"),
        (r#"{"text": "a\u0000b"}"#, "text has a control character"),
        (&json!({"text": "字".repeat(1_001)}).to_string(), "text has more than 1,000 characters"),
    ] {
        ada.sends(Frame::text(frame)).await;
        let refused = ada.refused().await;
        assert!(refused.contains(word), "{frame}: {refused}");
    }
    assert_eq!(history(&app, "lobby").await, [json!(null); 0]);
    ada.says("here I am").await;
    assert_eq!(ada.hears_new(&mut Vec::new()).await["text"], "here I am");

    // More than a frame may hold, or what is no text, ends it.
    ada.sends(Frame::binary(vec![1])).await;
    assert_eq!(ada.ended().await.0, 1003);
    let mut bob = Talker::join(address, "lobby", "Bob").await;
    bob.sends(Frame::text("x".repeat(9 * 1024))).await;
    let gone = eventually(LONG, async || match bob.socket.next().await {
        None | Some(Err(_)) | Some(Ok(Frame::Close(_))) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    gone.await;
}

#[tokio::test]
async fn who_talks_too_fast_is_told_to_wait_and_at_last_cut_off() {
    let app = App::start().await;
    let (address, _stop, _) = listening(&app).await;
    let mut ada = Talker::join(address, "lobby", "Ada").await;
    for number in 0..300 {
        // It may be cut off before all is sent.
        let text = json!({ "text": format!("{number}") }).to_string();
        if ada.socket.send(Frame::text(text)).await.is_err() {
            break;
        }
    }
    assert!(ada.refused().await.starts_with("too fast: wait "));
    // Those that were taken are few, however busy the machine is: ten, and two for each second that it took.
    let kept = history(&app, "lobby").await.len();
    assert!((10..50).contains(&kept), "{kept}");
    let ended = tokio::time::timeout(LONG, async {
        loop {
            match ada.socket.next().await {
                Some(Ok(Frame::Close(Some(why)))) => return Some(u16::from(why.code)),
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return None,
            }
        }
    });
    // The frame may be lost with the connection, when more was sent behind it.
    assert!([Some(1008), None].contains(&ended.await.unwrap()));
}

#[tokio::test]
async fn pages_of_other_sites_and_odd_rooms_and_names_are_refused() {
    let app = App::start().await;
    let (address, _stop, _) = listening(&app).await;
    let own = format!("http://{address}");
    let join = async |path: &str, headers: &[(&'static str, &str)]| {
        Talker::try_join(address, path, headers).await.err()
    };
    let good = path("lobby", "Ada");
    assert_eq!(join(&good, &[("origin", &own)]).await, None);
    assert_eq!(join(&good, &[("sec-fetch-site", "same-origin")]).await, None);
    for header in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://localhost:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("host", "evil.example"),
    ] {
        assert_eq!(join(&good, &[header]).await, Some(403), "{header:?}");
    }
    for odd in [
        "/api/chat/lobby/ws",
        &path("lobby", ""),
        &path("lobby", "%20"),
        &path("lobby", "a%00b"),
        &path("lobby", &"x".repeat(41)),
        &path("Lobby", "Ada"),
        &path("a%2Fb", "Ada"),
        &path(&"x".repeat(41), "Ada"),
    ] {
        assert_eq!(join(odd, &[]).await, Some(400), "{odd}");
    }
}

#[tokio::test]
async fn a_lost_connection_to_redis_is_a_gap_and_what_was_missed_is_read_again() {
    let server = TestServer::start().await.unwrap();
    let proxy = Proxy::to(&server).await.unwrap();
    let app = App::on(&proxy.url()).await;
    let (_, beside) = app.beside(&server.url(), Default::default()).await;
    let (address, _stop, _) = listening(&app).await;
    let mut ada = Talker::join(address, "lobby", "Ada").await;
    proxy.refuse().await.unwrap();
    ada.says("lost").await;
    assert!(ada.refused().await.contains("the Redis server is away"));

    // Meanwhile somebody talks at another process.
    let elsewhere = App { router: beside, ..App::on(&server.url()).await };
    let (other_address, _other_stop, _) = listening(&elsewhere).await;
    let mut bob = Talker::join(other_address, "lobby", "Bob").await;
    bob.says("while you were away").await;
    bob.hears_new(&mut Vec::new()).await;
    proxy.set(russet::testing::Mode::Forward).await.unwrap();
    let read = tokio::time::timeout(LONG, async {
        let mut had_gap = false;
        loop {
            let word = ada.hears().await;
            had_gap |= word["type"] == "gap";
            if had_gap && word["type"] == "history" {
                return word["messages"].clone();
            }
        }
    });
    let read = read.await.expect("a gap and the history");
    assert_eq!(read[0]["text"], "while you were away");
    // And it is live again.
    bob.says("hello again").await;
    let mut known = vec![read[0]["id"].as_str().unwrap().to_owned()];
    assert_eq!(ada.hears_new(&mut known).await["text"], "hello again");
}

#[tokio::test]
async fn a_conversation_that_cannot_begin_says_so_by_http() {
    let server = TestServer::start().await.unwrap();
    let app = App::on(&server.url()).await;
    let (address, _stop, _) = listening(&app).await;
    let chat = &app.state.chat;
    let places: Vec<_> = (0..2_000).map_while(|n| chat.place(&format!("{}", n / 50))).collect();
    assert_eq!(places.len(), 500);
    assert_eq!(Talker::try_join(address, &path("lobby", "Ada"), &[]).await.err(), Some(503));
    drop(places);
    Talker::join(address, "lobby", "Ada").await;
    server.kill().await.unwrap();
    assert_eq!(Talker::try_join(address, &path("lobby", "Bob"), &[]).await.err(), Some(503));
}

/// Waits until a room's list of people is this; the names of accounts have a mark.
async fn sees(talker: &mut Talker, people: &[(&str, bool)]) {
    let wanted: Vec<_> = people
        .iter()
        .map(|(name, signed_in)| json!({"name": name, "signed_in": signed_in}))
        .collect();
    let seen = tokio::time::timeout(LONG, async {
        loop {
            let word = talker.word().await;
            if word["type"] == "here" && word["people"] == json!(wanted) {
                assert_eq!(word["count"], wanted.len());
                return;
            }
        }
    });
    seen.await.unwrap_or_else(|_| panic!("nobody said that {people:?} are here"));
}

#[tokio::test]
async fn who_is_there_is_known_over_all_processes_and_who_was_killed_is_gone() {
    let server = TestServer::start().await.unwrap();
    let (one, two) = (DataFolder::new(), DataFolder::new());
    let url = server.url();
    let first = Serve::run(&Serve::command(&one, &["--redis-url", &url])).await;
    let second = Serve::run(&Serve::command(&two, &["--redis-url", &url])).await;
    let mut ada = Talker::join(first.address, "lobby", "Ada").await;
    sees(&mut ada, &[("Ada", false)]).await;
    let mut bob = Talker::join(second.address, "lobby", "Bob").await;
    let twice = Talker::join(second.address, "lobby", "Bob").await;
    let _elsewhere = Talker::join(second.address, "other", "Eve").await;
    for talker in [&mut ada, &mut bob] {
        sees(talker, &[("Ada", false), ("Bob", false)]).await;
    }
    // One of two tabs is closed, and somebody comes: Bob is still there.
    drop(twice);
    let cat = Talker::join(first.address, "lobby", "Cat").await;
    sees(&mut bob, &[("Ada", false), ("Bob", false), ("Cat", false)]).await;
    drop(cat);
    sees(&mut bob, &[("Ada", false), ("Bob", false)]).await;
    sees(&mut ada, &[("Ada", false), ("Bob", false)]).await;
    second.kill().await;
    sees(&mut ada, &[("Ada", false)]).await;
    assert!(first.stop().await.success());
}

#[tokio::test]
async fn who_types_is_told_to_the_others_and_not_too_often() {
    let app = App::start().await;
    let (address, _stop, _) = listening(&app).await;
    let mut ada = Talker::join(address, "lobby", "Ada").await;
    let mut bob = Talker::join(address, "lobby", "Bob").await;
    // Heard once they are: the room of this process listens by and by.
    let typed = tokio::time::timeout(LONG, async {
        loop {
            ada.sends(Frame::text(r#"{"typing": true}"#)).await;
            let word = tokio::time::timeout(Duration::from_secs(3), bob.word()).await;
            if let Ok(word) = word
                && word["type"] == "typing"
            {
                return word;
            }
        }
    });
    assert_eq!(typed.await.unwrap(), json!({"type": "typing", "name": "Ada", "signed_in": false}));
    for frame in [r#"{"typing": true, "text": "x"}"#, r#"{}"#, r#"{"typing": 1}"#] {
        bob.sends(Frame::text(frame)).await;
        assert!(bob.refused().await.starts_with("this is no message"), "{frame}");
    }
    // A message is all that Ada hears of Bob: he did not type, and nobody hears of oneself.
    bob.says("done").await;
    loop {
        let word = ada.word().await;
        assert_ne!(word["type"], "typing", "{word}");
        if word["type"] == "message" {
            break;
        }
    }
}

#[tokio::test]
async fn who_is_signed_in_talks_by_the_accounts_name_and_is_out_with_the_session() {
    let mut app = App::start().await;
    let (name, password) = ("ada".parse().unwrap(), "correct horse battery".to_owned());
    let accounts = &app.state.accounts;
    assert!(accounts.add(&name, Password::typed(password.clone()), &[]).await.unwrap());
    app.state.access = Access::on_loopback(true);
    app.router = russet_app::http::app(app.state.clone());
    let (address, _stop, _) = listening(&app).await;
    let refused = Talker::try_join(address, &path("lobby", "Ada"), &[]).await.err();
    assert_eq!(refused, Some(401));

    let (cookie, _) = super::accounts::login(address, "ada", &password).await;
    let join = async |name: &str| {
        Talker::try_join(address, &path("lobby", name), &[("cookie", &cookie)]).await.unwrap()
    };
    let (mut one, mut two) = (join("Somebody%20Else").await, join("").await);
    sees(&mut one, &[("ada", true)]).await;
    one.says("it is me").await;
    let heard = two.hears().await;
    assert_eq!(heard["type"], "history");
    let heard = two.hears_new(&mut Vec::new()).await;
    assert_eq!((&heard["name"], &heard["signed_in"]), (&json!("ada"), &json!(true)));

    app.state.accounts.sessions().sign_out_everywhere("ada").await.unwrap();
    for talker in [&mut one, &mut two] {
        assert_eq!(talker.ended().await, (1008, "signed out".to_owned()));
    }
}

#[tokio::test]
async fn one_client_has_one_limit_in_all_its_conversations() {
    let app = App::start().await;
    let (beside, _) = app.beside(&crate::support::server().await.url(), Default::default()).await;
    // 60 at once, and then five a second, however many processes and conversations there are.
    let begun = std::time::Instant::now();
    let asked = (0..200).map(|n| if n % 2 == 0 { &app.state.chat } else { &beside.chat });
    let asked = asked.map(async |chat| chat.may_say("account ada").await.unwrap().is_ok());
    let allowed = join_all(asked).await.into_iter().filter(|is_allowed| *is_allowed).count();
    let most = 61.0 + 5.0 * begun.elapsed().as_secs_f64();
    assert!(allowed >= 60 && (allowed as f64) <= most, "{allowed}, and {most} at most");
    assert!(app.state.chat.may_say("account bob").await.unwrap().is_ok());

    // A conversation counts for its address: its first message is refused when others have used that up.
    let (address, _stop, _) = listening(&app).await;
    eventually(LONG, async || {
        let mut talker = Talker::join(address, "lobby", "Ada").await;
        let used =
            (0..80).map(async |_| app.state.chat.may_say("address 127.0.0.1").await.unwrap());
        join_all(used).await;
        talker.says("hello").await;
        let answer = talker.hears().await;
        let error = answer["error"].as_str().unwrap_or_default();
        if error.starts_with("too fast: wait") { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}
