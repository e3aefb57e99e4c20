//! Who is signed in, seen by browsers and by those who are not what they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Form, Query};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use russet::testing::{TestServer, eventually};
use russet::{Device, SessionToken, Sessions, SessionsBuilder};
use russet_axum::session::{BadCookieName, IpNet, Next, Require, own_sessions};
use russet_axum::{ApiError, Session, SessionLayer, Visitor};
use serde::Deserialize;
use support::{Answer, Browser, Log, SECRET, serve, sessions_on};
use tower::ServiceExt as _;

const COOKIE: &str = "__Host-id";
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Login {
    name: String,
    #[serde(default)]
    next: Next,
}

async fn me(session: Session) -> String {
    format!("signed in as {}", session.user())
}

async fn login(visitor: Visitor, Form(login): Form<Login>) -> Result<Next, ApiError> {
    let roles = (login.name == "root").then_some("admin");
    visitor.sign_in(&login.name).roles(roles).await?;
    Ok(login.next)
}

async fn maybe(session: Option<Session>) -> &'static str {
    if session.is_some() { "somebody" } else { "nobody" }
}

/// Without a layer for sessions.
fn routes() -> Router {
    Router::new()
        .route("/office", get(async || "all doors"))
        .route_layer(Require::role("admin"))
        .route("/me", get(me))
        .route("/maybe", get(maybe))
        .route("/open", get(async || "open to all"))
        .route("/login", post(login))
        .route("/next", get(async |Query(login): Query<Login>| login.next))
        .route("/logout", post(async |visitor: Visitor| visitor.sign_out().await))
        .nest("/sessions", own_sessions())
}

fn app(sessions: Sessions) -> Router {
    routes().layer(SessionLayer::new(sessions))
}

/// An application with its server.
struct Served {
    server: TestServer,
    sessions: Sessions,
    address: SocketAddr,
}

impl Served {
    async fn start() -> Self {
        Self::with(|settings| settings).await
    }

    async fn with(set: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let server = TestServer::start().await.unwrap();
        let sessions = set(sessions_on(&server).await.secret(SECRET)).build().unwrap();
        let address = serve(app(sessions.clone())).await;
        Self { server, sessions, address }
    }

    fn browser(&self) -> Browser {
        Browser::at(self.address)
    }

    async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let answer = browser.form("/login", &format!("name={name}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        browser
    }
}

/// Everything of an answer that a client can see but the time.
fn seen(answer: &Answer) -> (StatusCode, HeaderMap, String) {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    (answer.status, headers, answer.body.clone())
}

fn changed(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let first = if parts[part].starts_with('A') { "B" } else { "A" };
    parts[part].replace_range(..1, first);
    parts.join(".")
}

#[tokio::test]
async fn a_handler_that_asks_for_a_session_gets_it_or_answers_401() {
    let app = Served::start().await;
    assert_eq!(app.browser().get("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.browser().get("/maybe").await.body, "nobody");
    let mut ann = app.signed_in("ann").await;
    assert_eq!(ann.get("/me").await.body, "signed in as ann");
    assert_eq!(ann.get("/maybe").await.body, "somebody");
}

#[tokio::test]
async fn the_cookie_has_every_attribute_that_keeps_it_safe() {
    let app = Served::start().await;
    let mut browser = app.browser();
    let answer = browser.form("/login", "name=ann").await;
    let (pair, attributes) = answer.set_cookie().unwrap().split_once("; ").unwrap();
    assert!(pair.starts_with("__Host-id=") && !pair.contains("ann"), "{pair}");
    assert_eq!(pair.len(), "__Host-id=".len() + 88);
    let mut attributes: Vec<_> = attributes.split("; ").collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
    assert_eq!(answer.headers["cache-control"], "no-store");

    let cleared = browser.post("/logout").await;
    let cleared = cleared.set_cookie().unwrap();
    assert!(cleared.starts_with("__Host-id=; ") && cleared.contains("; Max-Age=0"), "{cleared}");
    for attribute in ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"] {
        assert!(cleared.contains(attribute), "{cleared}");
    }
}

#[tokio::test]
async fn only_a_method_that_says_so_makes_the_cookie_weaker() {
    let app = Served::start().await;
    let layer = SessionLayer::new(app.sessions.clone());
    let set_cookie = async |layer: SessionLayer| {
        let mut browser = Browser::at(serve(routes().layer(layer)).await);
        browser.form("/login", "name=ann").await.set_cookie().unwrap().to_owned()
    };
    let plain = set_cookie(layer.clone().dangerously_plain_cookies()).await;
    assert!(plain.starts_with("id=") && !plain.contains("Secure"), "{plain}");
    assert!(plain.contains("HttpOnly") && plain.contains("SameSite=Lax"), "{plain}");
    let strict = set_cookie(layer.clone().strict_same_site()).await;
    assert!(strict.contains("SameSite=Strict"), "{strict}");
    let lasting = set_cookie(layer.clone().persistent_cookie()).await;
    let age = lasting.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap();
    assert!((80_000..=86_401).contains(&age.parse::<u32>().unwrap()), "{lasting}");
    for bad in ["", "a b", "a;b", "a=b", "a\r\nb", "ä"] {
        assert_eq!(layer.clone().cookie_name(bad).err(), Some(BadCookieName), "{bad:?}");
    }
}

#[tokio::test]
async fn nobody_is_signed_in_with_a_session_that_was_planted() {
    let app = Served::start().await;
    // The attacker's own session, and one that he has made up.
    let planted = app.signed_in("mallory").await.jar[COOKIE].clone();
    for planted in [planted.as_str(), "chosen", &changed(&planted, 0)] {
        let mut victim = app.browser();
        victim.jar.insert(COOKIE.to_owned(), planted.to_owned());
        victim.form("/login", "name=ann").await;
        assert_ne!(victim.jar[COOKIE], planted);
        assert_eq!(victim.get("/me").await.body, "signed in as ann");
        let mut attacker = app.browser();
        attacker.jar.insert(COOKIE.to_owned(), planted.to_owned());
        assert_eq!(attacker.get("/me").await.status, StatusCode::UNAUTHORIZED, "{planted}");
    }
}

#[tokio::test]
async fn a_token_with_another_payload_or_signature_is_refused() {
    let app = Served::start().await;
    let ann = app.signed_in("ann").await;
    for part in [0, 1] {
        let mut forger = ann.clone();
        forger.jar.insert(COOKIE.to_owned(), changed(&ann.jar[COOKIE], part));
        assert_eq!(forger.get("/me").await.status, StatusCode::UNAUTHORIZED, "part {part}");
        assert_eq!(forger.get("/maybe").await.body, "nobody");
    }
}

#[tokio::test]
async fn a_token_is_good_while_the_secret_that_signed_it_is_named() {
    let app = Served::start().await;
    let ann = app.signed_in("ann").await;
    let served_with =
        async |settings: SessionsBuilder| serve(self::app(settings.build().unwrap())).await;
    let other = served_with(sessions_on(&app.server).await.secret([8; 32])).await;
    let answer = ann.clone().move_to(other).get("/me").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let rotated = sessions_on(&app.server).await.secret([8; 32]).also_verify(SECRET);
    let rotated = served_with(rotated).await;
    assert_eq!(ann.move_to(rotated).get("/me").await.body, "signed in as ann");
}

#[tokio::test]
async fn a_token_from_another_device_is_refused_and_its_owner_goes_on() {
    let app = Served::start().await;
    let mut ann = app.signed_in("ann").await;
    let mut thief = ann.clone().with("user-agent", "curl");
    assert_eq!(thief.get("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(ann.get("/me").await.body, "signed in as ann");
    let activity = app.sessions.activity(10).await.unwrap();
    assert_eq!(activity.iter().map(|entry| &*entry.what).collect::<Vec<_>>(), ["device_changed"]);
}

#[tokio::test]
async fn all_refusals_are_one_and_the_same_answer_and_the_log_says_which() {
    let log = Log::capture();
    let app = Served::start().await;
    // Nothing sweeps there, so that what is over is still known.
    let second = Duration::from_secs(1);
    let short = Served::with(|settings| settings.idle_timeout(second).sweep_every(second * 3_600));
    let short = short.await;
    let mut expired = short.signed_in("ann").await;
    let token = expired.jar[COOKIE].clone();
    let is_over = async || match short.sessions.look_many(&[SessionToken::from(&*token)]).await {
        Ok(found) if found == [None] => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(PATIENCE, is_over).await;
    let mut unknown = app.signed_in("ann").await;
    unknown.clone().post("/logout").await;
    let mut mismatched = app.signed_in("ann").await.with("user-agent", "curl");
    let [mut tampered, mut garbage] = [app.signed_in("ann").await, app.browser()];
    tampered.jar.insert(COOKIE.to_owned(), changed(&tampered.jar[COOKIE], 1));
    garbage.jar.insert(COOKIE.to_owned(), "garbage".to_owned());

    let nobody = seen(&app.browser().get("/me").await);
    assert_eq!(nobody.0, StatusCode::UNAUTHORIZED);
    let cases = [
        ("expired", &mut expired),
        ("unknown", &mut unknown),
        ("mismatched", &mut mismatched),
        ("tampered", &mut tampered),
        ("unknown", &mut garbage),
    ];
    for (reason, browser) in cases {
        let before = log.text().len();
        assert_eq!(seen(&browser.get("/me").await), nobody, "{reason}");
        let said = log.text().split_off(before);
        assert!(said.contains(&format!("reason=\"{reason}\"")), "{reason}: {said}");
    }
    for token in [&token, &unknown.jar[COOKIE], &tampered.jar[COOKIE]] {
        let is_logged = token.split('.').any(|part| log.text().contains(part));
        assert!(!is_logged, "a token was logged");
    }
}

#[tokio::test]
async fn nobody_is_let_in_and_nothing_is_promised_while_redis_is_away() {
    let app = Served::start().await;
    let mut ann = app.signed_in("ann").await;
    app.server.kill().await.unwrap();
    for path in ["/me", "/maybe", "/office", "/sessions"] {
        let answer = ann.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.headers.contains_key("retry-after"), "{path}");
        assert!(answer.json()["error"].as_str().unwrap().contains("away"), "{path}");
    }
    for path in ["/logout", "/login"] {
        let answer = ann.form(path, "name=ann").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.set_cookie(), None, "{path}");
    }
    assert_eq!(ann.get("/open").await.body, "open to all");
    assert_eq!(app.browser().get("/maybe").await.body, "nobody");

    app.server.restart().await.unwrap();
    let is_back = async || match ann.get("/me").await {
        // The server of the test has kept nothing, or everything.
        answer if answer.status != StatusCode::SERVICE_UNAVAILABLE => Ok(()),
        answer => Err(answer.body),
    };
    eventually(PATIENCE, is_back).await;
}

#[tokio::test]
async fn what_looks_at_no_session_costs_nothing_and_several_looks_cost_one() {
    let app = Served::start().await;
    let router = self::app(app.sessions.clone());
    let mut ann = app.signed_in("ann").await;
    // The server knows the script from then on.
    ann.get("/me").await;
    let cost = async |path: &str, cookie: Option<&str>| {
        let mut request = Request::get(path).header("user-agent", "Firefox");
        if let Some(cookie) = cookie {
            request = request.header("cookie", format!("{COOKIE}={cookie}"));
        }
        let request = request.body(Body::empty()).unwrap();
        let (answer, sent) = russet::metered(router.clone().oneshot(request)).await;
        (answer.unwrap().status().as_u16(), sent.round_trips)
    };
    let cookie = Some(&*ann.jar[COOKIE]);
    assert_eq!(cost("/open", cookie).await, (200, 0));
    assert_eq!(cost("/me", cookie).await, (200, 1));
    // The guard of the route looks, and nobody after it again.
    assert_eq!(cost("/office", cookie).await, (403, 1));
    assert_eq!(cost("/maybe", None).await, (200, 0));
    assert_eq!(cost("/me", Some("garbage")).await, (401, 0));
}

#[tokio::test]
async fn an_answer_for_which_the_session_was_looked_at_is_not_stored() {
    let app = Served::start().await;
    let mut ann = app.signed_in("ann").await;
    assert_eq!(ann.get("/me").await.headers["cache-control"], "no-store");
    assert_eq!(app.browser().get("/maybe").await.headers["cache-control"], "no-store");
    assert!(!ann.get("/open").await.headers.contains_key("cache-control"));
}

#[tokio::test]
async fn names_and_devices_cannot_write_headers() {
    let app = Served::start().await;
    let mut browser = app.browser();
    let evil = "<b>\tx\"; Path=/evil, \\ \u{e4}";
    browser
        .headers
        .insert("user-agent", axum::http::HeaderValue::from_bytes(evil.as_bytes()).unwrap());
    let form = "name=ann%0D%0ASet-Cookie:+evil%3D1%0D%0A%0D%0A%3Cscript%3E&next=/%0D%0ASet-Cookie:+evil%3D1";
    let answer = browser.form("/login", form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 1);
    assert_eq!(answer.headers["location"], "/");
    assert_eq!(browser.jar.keys().collect::<Vec<_>>(), [COOKIE]);
    let me = browser.get("/me").await;
    assert_eq!(me.body, "signed in as ann\r\nSet-Cookie: evil=1\r\n\r\n<script>");
    assert!(!me.headers.contains_key("set-cookie"));
    let own = &browser.get("/sessions").await.json()[0];
    assert_eq!(own["user_agent"], evil.replace('\t', ""));
}

#[tokio::test]
async fn a_login_leads_to_no_other_site() {
    let app = Served::start().await;
    let targets = [
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/%5Cevil.example", "/"),
        ("/%09/evil.example", "/"),
        ("/.//evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/x%0D%0ALocation:+https://evil.example", "/"),
        ("/chat%3Froom%3Da+b", "/chat?room=a%20b"),
    ];
    for (next, to) in targets {
        let answer = app.browser().form("/login", &format!("name=ann&next={next}")).await;
        assert_eq!(answer.headers["location"], to, "{next}");
        let answer = app.browser().get(&format!("/next?name=ann&next={next}")).await;
        assert_eq!(answer.headers["location"], to, "{next}");
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_and_clears_the_cookie() {
    let app = Served::start().await;
    let mut ann = app.signed_in("ann").await;
    let mut copy = ann.clone();
    assert_eq!(ann.post("/logout").await.status, StatusCode::OK);
    assert!(ann.jar.is_empty());
    assert_eq!(copy.get("/me").await.status, StatusCode::UNAUTHORIZED);
    // What was refused is not cleared: it could be the cookie of a login that was made meanwhile.
    assert!(copy.jar.contains_key(COOKIE));
    // Whoever is signed out already can sign out.
    assert_eq!(copy.post("/logout").await.status, StatusCode::OK);
    assert_eq!(app.browser().post("/logout").await.status, StatusCode::OK);
}

#[tokio::test]
async fn of_two_cookies_none_is_believed() {
    let app = Served::start().await;
    let mut ann = app.signed_in("ann").await;
    let both = format!("{COOKIE}={}; {COOKIE}={}", ann.jar[COOKIE], ann.jar[COOKIE]);
    ann.jar.clear();
    let answer = ann.send("GET".parse().unwrap(), "/me", &[("cookie", &both)], "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    // Those of others do not disturb, whatever they are.
    let mut ann = app.signed_in("ann").await;
    ann.headers.insert("cookie", axum::http::HeaderValue::from_bytes(b"a=\xff; ;=; id=x").unwrap());
    assert_eq!(ann.get("/me").await.body, "signed in as ann");
}

#[tokio::test]
async fn a_route_for_a_role_refuses_everybody_else() {
    let app = Served::start().await;
    assert_eq!(app.browser().get("/office").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.signed_in("ann").await.get("/office").await.status, StatusCode::FORBIDDEN);
    assert_eq!(app.signed_in("root").await.get("/office").await.body, "all doors");
}

#[tokio::test]
async fn everybody_sees_and_ends_the_own_sessions_and_no_others() {
    let app = Served::start().await;
    let (mut phone, mut desk) = (app.signed_in("ann").await, app.signed_in("ann").await);
    let mut bob = app.signed_in("bob").await;
    let list = desk.get("/sessions").await.json();
    let list = list.as_array().unwrap();
    assert_eq!(
        list.iter().map(|own| own["current"].as_bool()).collect::<Vec<_>>(),
        [Some(false), Some(true)]
    );
    assert_eq!(list[1]["ip"], "127.0.0.1");
    assert_eq!(list[1]["user_agent"], "Firefox");
    let of_phone = list[0]["id"].as_str().unwrap();
    // The public name of a session is not its token.
    assert!(!phone.jar[COOKIE].contains(of_phone));

    let path = format!("/sessions/{of_phone}");
    assert_eq!(bob.delete(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(bob.delete("/sessions/nonsense").await.status, StatusCode::NOT_FOUND);
    assert_eq!(phone.get("/me").await.status, StatusCode::OK);
    assert_eq!(desk.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(phone.get("/me").await.status, StatusCode::UNAUTHORIZED);

    let mut phone = app.signed_in("ann").await;
    assert_eq!(desk.delete("/sessions/others").await.status, StatusCode::NO_CONTENT);
    assert_eq!(phone.get("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(desk.get("/me").await.status, StatusCode::OK);

    let mut phone = app.signed_in("ann").await;
    assert_eq!(desk.delete("/sessions").await.status, StatusCode::NO_CONTENT);
    assert!(desk.jar.is_empty());
    assert_eq!(phone.get("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bob.get("/me").await.status, StatusCode::OK);

    let current = bob.get("/sessions").await.json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(bob.delete(&format!("/sessions/{current}")).await.status, StatusCode::NO_CONTENT);
    assert!(bob.jar.is_empty());
}

#[tokio::test]
async fn only_a_trusted_proxy_says_where_a_client_is() {
    let app = Served::start().await;
    let proxies = ["127.0.0.0/8".parse::<IpNet>().unwrap()];
    let layer = SessionLayer::new(app.sessions.clone()).trusted_proxies(proxies);
    let behind = serve(routes().layer(layer)).await;
    let ip_at = async |address| {
        let mut browser = Browser::at(address).with("x-forwarded-for", "1.1.1.1, 198.51.100.7");
        browser.form("/login", "name=ann").await;
        let all = browser.get("/sessions").await.json();
        let own = all.as_array().unwrap().iter().find(|own| own["current"] == true).unwrap();
        own["ip"].as_str().unwrap().to_owned()
    };
    assert_eq!(ip_at(app.address).await, "127.0.0.1");
    assert_eq!(ip_at(behind).await, "198.51.100.7");
}

#[tokio::test]
async fn applications_of_one_host_have_cookies_of_their_own() {
    let app = Served::start().await;
    let layer = SessionLayer::new(app.sessions.clone());
    let shop = routes().layer(layer.clone().cookie_name("shop").unwrap());
    let both = Router::new().nest("/shop", shop).merge(routes().layer(layer));
    let mut browser = Browser::at(serve(both).await);
    browser.form("/login", "name=ann").await;
    assert_eq!(browser.get("/shop/me").await.status, StatusCode::UNAUTHORIZED);
    browser.form("/shop/login", "name=bob").await;
    assert_eq!(browser.jar.keys().collect::<Vec<_>>(), ["__Host-id", "__Host-shop"]);
    assert_eq!(browser.get("/me").await.body, "signed in as ann");
    assert_eq!(browser.get("/shop/me").await.body, "signed in as bob");
    browser.post("/shop/logout").await;
    assert_eq!(browser.get("/me").await.body, "signed in as ann");
}

#[tokio::test]
async fn a_token_is_good_in_its_own_application_alone() {
    let app = Served::start().await;
    let sso = russet::Sso::new(&app.sessions);
    let device = Device::unknown().user_agent("Firefox");
    let global = sso.sign_in("ann", &device).await.unwrap();
    let shop = sso.open(&global, "shop", &()).await.unwrap().unwrap();
    let layer = SessionLayer::new(app.sessions.clone());
    let served = async |name| serve(routes().layer(layer.clone().application(name))).await;
    let addresses = [app.address, served("shop").await, served("chat").await];
    let mut answers = Vec::new();
    for signed_in in [global, shop] {
        for address in addresses {
            let mut browser = Browser::at(address);
            browser.jar.insert(COOKIE.to_owned(), signed_in.token.expose().to_owned());
            answers.push(browser.get("/maybe").await.body);
        }
    }
    let expected = ["somebody", "nobody", "nobody", "nobody", "somebody", "nobody"];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn a_session_that_was_made_elsewhere_takes_the_place_of_the_browsers() {
    let app = Served::start().await;
    let router = routes()
        .route(
            "/promote",
            post(async |visitor: Visitor, session: Session| {
                let rotated = session.rotate().roles(["admin"]).await?;
                let (token, session) = rotated.ok_or_else(ApiError::unauthorized)?;
                let session = visitor.adopt(russet::SignedIn { token, session }).await?;
                assert!(visitor.session().await?.unwrap().id() == session.id());
                Ok::<_, ApiError>(())
            }),
        )
        .layer(SessionLayer::new(app.sessions.clone()));
    let mut ann = Browser::at(serve(router).await);
    ann.form("/login", "name=ann").await;
    let before = ann.clone();
    assert_eq!(ann.post("/promote").await.status, StatusCode::OK);
    assert_ne!(before.jar, ann.jar);
    assert_eq!(ann.get("/office").await.body, "all doors");
    assert_eq!(before.clone().get("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.sessions.list("ann").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_route_without_the_layer_lets_nobody_in() {
    let app = Served::start().await;
    let mut browser = Browser::at(serve(routes()).await);
    let (token, _) =
        app.sessions.create("ann", &Device::unknown().user_agent("Firefox")).await.unwrap();
    browser.jar.insert(COOKIE.to_owned(), token.expose().to_owned());
    for path in ["/me", "/maybe", "/office"] {
        assert_eq!(browser.get(path).await.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
    }
}
