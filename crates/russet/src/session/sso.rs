//! One sign-on for several applications.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Serialize;

use super::{
    Sessions,
    change::encode,
    create::{Draft, SignedIn},
    device::Device,
    end::SignedOut,
    handle::Session,
    record::field,
    scripts,
    secrets::sha256,
    token::{SessionToken, Spot},
};
use crate::{
    error::{Error, Result},
    names::check_name,
};

/// How long a ticket is good for: a browser's way from one application to another.
const TICKET: Duration = Duration::from_secs(60);

/// Single sign-on: a global session of a user, and one session for each application under it.
///
/// An application's session is valid while the global one is, and while it is the newest of its application there. Its attributes
/// are its own, and it reads those of the global one too. Using it keeps both alive. When the global session ends, all end in that moment;
/// when an application's ends, the others stay. All of it lies in one slot of a Cluster, and each step is one script.
///
/// ```
/// # use russet::testing::TestServer;
/// use russet::{Device, Russet, Sessions, Sso, Validation};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = TestServer::start().await?;
/// # let url = server.url();
/// # let key = [7; 32];
/// # let sessions = Sessions::builder(&Russet::connect(&url).await?, "web").secret(key).build()?;
/// let (sso, client) = (Sso::new(&sessions), Device::unknown());
///
/// let global = sso.sign_in("user123", &client).await?;
/// let Some(shop) = sso.open(&global, "shop", &serde_json::json!({"cart": []})).await? else { return Ok(()) };
/// assert!(matches!(sessions.validate(&shop.token, &client).await?, Validation::Valid(_)));
///
/// sso.sign_out(&global).await?;
/// assert!(matches!(sessions.validate(&shop.token, &client).await?, Validation::Unknown));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Sso {
    sessions: Sessions,
}

/// What an application is given to sign its client in, once, within a minute: it goes through the browser's address line, where a
/// token must not be. No `Display`, and a `Debug` that says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket(String);

impl Sso {
    /// On the sessions that all applications share.
    pub fn new(sessions: &Sessions) -> Self {
        Self { sessions: sessions.clone() }
    }

    /// Makes the global session of a user who has shown who it is. One round trip.
    ///
    /// # Errors
    /// As [`Sessions::create`].
    pub async fn sign_in(&self, user: &str, device: &Device) -> Result<SignedIn> {
        let (token, session) = self.sessions.create(user, device).await?;
        Ok(SignedIn { token, session })
    }

    /// Makes the session of an application under a global one, whose user, roles and device it has; the one that the application had
    /// there before ends. None when the global session has ended. One round trip.
    ///
    /// `data` becomes attributes: a struct or a map of them, or `()` for none.
    ///
    /// # Errors
    /// `Invalid` for the name of an application that is not 1 to 256 bytes, data that is no object, and a global session that is an
    /// application's itself; as [`Sessions::create`] otherwise.
    #[tracing::instrument(name = "session.open", level = "debug", skip_all)]
    pub async fn open<T: Serialize + ?Sized>(
        &self,
        global: &impl AsRef<Session>,
        app: &str,
        data: &T,
    ) -> Result<Option<SignedIn>> {
        let global = global.as_ref();
        let attributes = self.attributes(data)?;
        self.open_under(global, app, attributes, None).await
    }

    /// Lets an application open its session without this one's token: it [redeems](Self::redeem) the ticket. None when the global session
    /// has ended. One round trip.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[tracing::instrument(name = "session.ticket", level = "debug", skip_all)]
    pub async fn ticket(&self, global: &impl AsRef<Session>, app: &str) -> Result<Ticket> {
        let (global, inner) = (global.as_ref(), &self.sessions.inner);
        check_app(global.spot(), app)?;
        let Spot { shard, id, .. } = global.spot();
        // The same form as the token of a session under this one, and for the ticket's minute as secret.
        let token = SessionToken::random(&inner.secrets, inner.name(), shard, Some(id))?;
        let hash = hash_of(&token);
        scripts::put_ticket(&inner.russet, &inner.place, shard, &hash, app, TICKET).await?;
        Ok(Ticket(token.expose().to_owned()))
    }

    /// Opens the application's session that a ticket stands for. None when there is no such ticket for this application, its minute is
    /// over, it was redeemed before, the global session has ended, or the client is another than the one who signed in. Two round trips.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[tracing::instrument(name = "session.redeem", level = "debug", skip_all)]
    pub async fn redeem(
        &self,
        ticket: &str,
        app: &str,
        device: &Device,
    ) -> Result<Option<SignedIn>> {
        let inner = &self.sessions.inner;
        let token = SessionToken::from(ticket);
        let Ok(Spot { shard, global: Some(id), .. }) = token.spot(&inner.secrets, inner.name())
        else {
            return Ok(None);
        };
        let spot = Spot { shard, id, global: None };
        let read = scripts::look(&inner.russet, &inner.place, &[spot]).await?.pop();
        let Some((global, _)) = read.and_then(|read| self.sessions.open(spot, read)) else {
            return Ok(None);
        };
        let parts = &inner.settings.fingerprint;
        if !global.identity().is_device(device, parts, &inner.secrets) {
            self.sessions.try_note(spot, "ticket_stolen", None, device, Some(&global)).await;
            return Ok(None);
        }
        self.open_under(&global, app, Vec::new(), Some(&hash_of(&token))).await
    }

    /// Ends an application's session under a global one; the others stay. One round trip.
    ///
    /// # Errors
    /// The errors of the connection.
    pub async fn close(&self, global: &impl AsRef<Session>, app: &str) -> Result<SignedOut> {
        let global = global.as_ref();
        let Some(id) = global.session_of(app) else { return Ok(SignedOut::Unknown) };
        let spot = Spot { id, global: Some(global.id()), ..global.spot() };
        let ended = self.sessions.finish(spot, "signed_out", None).await?;
        global.learn_app(app, None);
        Ok(ended)
    }

    /// Ends a global session, and those of all applications under it. One round trip.
    ///
    /// # Errors
    /// The errors of the connection.
    pub async fn sign_out(&self, global: &impl AsRef<Session>) -> Result<SignedOut> {
        self.sessions.finish(global.as_ref().spot(), "signed_out", None).await
    }

    /// Ends the global session that an application's stands under, and with it all: single logout. One round trip.
    ///
    /// # Errors
    /// The errors of the connection.
    pub async fn sign_out_all(&self, app: &Session) -> Result<SignedOut> {
        let spot = app.spot();
        let global = Spot { id: spot.global.unwrap_or(spot.id), global: None, ..spot };
        self.sessions.finish(global, "signed_out", Some(app.user())).await
    }

    async fn open_under(
        &self,
        global: &Session,
        app: &str,
        attributes: Vec<(String, Vec<u8>)>,
        ticket: Option<&str>,
    ) -> Result<Option<SignedIn>> {
        let inner = &self.sessions.inner;
        check_app(global.spot(), app)?;
        let Spot { shard, id, .. } = global.spot();
        let token = SessionToken::random(&inner.secrets, inner.name(), shard, Some(id))?;
        let Ok(spot) = token.spot(&inner.secrets, inner.name()) else {
            return Err(Error::internal("a token of our own is none"));
        };
        let identity = global.identity().under(id, app, 0)?;
        let ip = identity.ip.map_or(String::new(), |ip| ip.to_string());
        let draft = Draft { identity, spot, attributes, evicts: true, ticket, ip };
        let Some(session) = self.sessions.make(draft, false).await? else { return Ok(None) };
        global.learn_app(app, Some(spot.id));
        Ok(Some(SignedIn { token, session }))
    }

    fn attributes<T: Serialize + ?Sized>(&self, data: &T) -> Result<Vec<(String, Vec<u8>)>> {
        let data = serde_json::to_value(data)
            .map_err(|cause| Error::codec("the data of an application's session", cause.into()))?;
        match data {
            serde_json::Value::Null => Ok(Vec::new()),
            serde_json::Value::Object(fields) if fields.len() <= 128 => fields
                .iter()
                .map(|(name, value)| Ok((field(name), encode(&self.sessions, name, value)?)))
                .collect(),
            _ => Err(Error::invalid(
                "the data of an application's session must be a struct or a map of up to 128 attributes, or ()",
            )),
        }
    }
}

impl Ticket {
    /// The text that goes into an address: letters, digits, `-`, `_` and one `.`.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

fn check_app(global: Spot, app: &str) -> Result<()> {
    check_name("name of an application", app)?;
    match global.global {
        None => Ok(()),
        Some(_) => Err(Error::invalid("an application's session can have no other under it")),
    }
}

fn hash_of(ticket: &SessionToken) -> String {
    BASE64.encode(sha256(ticket.expose().as_bytes()))
}
