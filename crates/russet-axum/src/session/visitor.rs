use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderValue, header};
use russet::{Device, SessionToken, Sessions, SignedIn, Validation};

use super::extract::Session;
use super::layer::Settings;
use super::sign_in::SignIn;
use crate::error::ApiError;

/// Who sends a request, signed in or not: what a handler signs in and out.
///
/// A cheap clone, for as long as the request is answered: the cookie goes into the answer's head.
#[derive(Clone)]
pub struct Visitor {
    inner: Arc<Inner>,
}

struct Inner {
    sessions: Sessions,
    settings: Arc<Settings>,
    device: Device,
    address: Option<IpAddr>,
    /// What the token is good for, as soon as somebody has asked; held while it is looked at, so that all share one look.
    known: tokio::sync::Mutex<Option<Option<Session>>>,
    browser: Mutex<Browser>,
}

/// What the browser has, and what it is to get.
struct Browser {
    token: Option<SessionToken>,
    set_cookie: Option<HeaderValue>,
    is_personal: bool,
}

impl Visitor {
    pub(super) fn new(
        sessions: &Sessions,
        settings: &Arc<Settings>,
        token: Option<SessionToken>,
        device: Device,
        address: Option<IpAddr>,
    ) -> Self {
        let inner = Inner {
            sessions: sessions.clone(),
            settings: settings.clone(),
            device,
            address,
            known: tokio::sync::Mutex::default(),
            browser: Mutex::new(Browser { token, set_cookie: None, is_personal: false }),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The session that the browser's cookie stands for, if it is valid. One round trip for the first who asks, none for
    /// the others, and none without a cookie.
    ///
    /// # Errors
    /// 503 while Redis is away: whoever guards something must pass it on.
    pub async fn session(&self) -> Result<Option<Session>, ApiError> {
        let mut known = self.inner.known.lock().await;
        if let Some(session) = &*known {
            return Ok(session.clone());
        }
        let session = self.look().await?;
        *known = Some(session.clone());
        Ok(session)
    }

    async fn look(&self) -> Result<Option<Session>, ApiError> {
        let token = {
            let mut browser = self.browser();
            browser.is_personal = true;
            browser.token.clone()
        };
        let Some(token) = token else { return Ok(None) };
        let reason = match self.inner.sessions.validate(&token, &self.inner.device).await? {
            Validation::Valid(session)
                if session.app() == self.inner.settings.application.as_deref() =>
            {
                return Ok(Some(session.into()));
            }
            Validation::Valid(_) => "other_application",
            Validation::Unknown => "unknown",
            Validation::Expired => "expired",
            Validation::Tampered => "tampered",
            Validation::Mismatched => "mismatched",
        };
        if matches!(reason, "tampered" | "mismatched" | "other_application") {
            tracing::warn!(reason, address = ?self.inner.address, "a session cookie was not accepted");
        } else {
            tracing::info!(reason, "a session cookie was not accepted");
        }
        Ok(None)
    }

    /// Makes a session for a user who has shown who it is, and gives the browser its token; the session that the browser had before ends,
    /// so that nobody who has planted one there is signed in with it. Two round trips, one without a cookie.
    pub fn sign_in<'a>(&'a self, user: &'a str) -> SignIn<'a> {
        SignIn::new(self, self.inner.sessions.create(user, &self.inner.device))
    }

    /// Gives the browser the token of a session that was made elsewhere: by [`Sso::redeem`](russet::Sso::redeem), or by
    /// [`Session::rotate`](russet::Session::rotate). The one that it had before ends. One round trip, none without a cookie.
    ///
    /// # Errors
    /// 503 while Redis is away; the browser keeps what it has then.
    pub async fn adopt(&self, signed_in: SignedIn) -> Result<Session, ApiError> {
        let SignedIn { token, session } = signed_in;
        let set_cookie = self.inner.settings.cookie.set(&token, session.ends())?;
        let mut known = self.inner.known.lock().await;
        let before = self.browser().token.clone().filter(|before| *before != token);
        if let Some(before) = before {
            self.inner.sessions.sign_out(&before).await?;
        }
        let session = Session::from(session);
        *known = Some(Some(session.clone()));
        self.gets(set_cookie, Some(token));
        Ok(session)
    }

    /// Ends the browser's session, and those of applications under it, and clears the cookie. One round trip, none without a
    /// cookie.
    ///
    /// # Errors
    /// 503 while Redis is away: the session goes on, and the browser keeps the cookie, so that it can try again.
    pub async fn sign_out(&self) -> Result<(), ApiError> {
        let token = self.browser().token.clone();
        if let Some(token) = token {
            self.inner.sessions.sign_out(&token).await?;
        }
        self.forget().await
    }

    /// Clears the cookie; for a session that was ended elsewhere, by [`Sso::sign_out_all`](russet::Sso::sign_out_all) say.
    ///
    /// # Errors
    /// None for a cookie that could be set.
    pub async fn forget(&self) -> Result<(), ApiError> {
        let clear = self.inner.settings.cookie.clear()?;
        *self.inner.known.lock().await = Some(None);
        self.gets(clear, None);
        Ok(())
    }

    /// Whether the request has a session cookie, whatever it is good for. Sends nothing.
    #[must_use]
    pub fn has_cookie(&self) -> bool {
        self.browser().token.is_some()
    }

    /// From where and with what the request comes.
    #[must_use = "it is only looked at"]
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// The address that it comes from: that of the connection, or what a [trusted proxy](super::SessionLayer::trusted_proxies) says.
    /// None when the server does not tell it.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.inner.address
    }

    /// The sessions that it is one of.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    fn gets(&self, set_cookie: HeaderValue, token: Option<SessionToken>) {
        let mut browser = self.browser();
        browser.set_cookie = Some(set_cookie);
        browser.token = token;
        browser.is_personal = true;
    }

    /// Adds to the answer what the browser is to get.
    pub(super) fn write_to(&self, headers: &mut HeaderMap) {
        let mut browser = self.browser();
        if let Some(set_cookie) = browser.set_cookie.take() {
            headers.append(header::SET_COOKIE, set_cookie);
        }
        if browser.is_personal {
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
    }

    fn browser(&self) -> MutexGuard<'_, Browser> {
        self.inner.browser.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").field("address", &self.inner.address).finish_non_exhaustive()
    }
}
