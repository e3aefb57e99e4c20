use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::{BoxFuture, FutureExt as _};
use ipnet::IpNet;
use russet::Sessions;
use tower::{Layer, Service};

use super::address;
use super::cookie::{BadCookieName, SessionCookie};
use super::visitor::Visitor;

/// Gives each request a [`Visitor`], and each answer the cookie that the visitor has got.
///
/// The cookie is `__Host-id`, with `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`, and without an end: the browser forgets it
/// when it is closed; when the session ends is decided in Redis. An answer for which the session was looked at is not to be
/// stored (`Cache-Control: no-store`) unless its handler says otherwise.
///
/// Where the client's address matters, the server must tell it: [`crate::Server`] does, and axum's with
/// `into_make_service_with_connect_info::<SocketAddr>()`.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing before it is on a router"]
pub struct SessionLayer {
    sessions: Sessions,
    settings: Arc<Settings>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) cookie: SessionCookie,
    pub(super) proxies: Vec<IpNet>,
    pub(super) application: Option<String>,
}

/// What [`SessionLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    layer: SessionLayer,
}

impl SessionLayer {
    /// A layer with the settings that each setter names as its default.
    pub fn new(sessions: Sessions) -> Self {
        Self { sessions, settings: Arc::default() }
    }

    /// The cookie's name after the prefix `__Host-`. Applications of one host need different ones. Defaults to `id`.
    ///
    /// # Errors
    /// [`BadCookieName`] when it is empty or has a character that no name of a cookie has.
    pub fn cookie_name(mut self, name: &str) -> Result<Self, BadCookieName> {
        self.settings_mut().cookie.rename(name)?;
        Ok(self)
    }

    /// The application under a single sign-on that this is: only its sessions are accepted, so that one application cannot go to another
    /// with the tokens of its visitors. Only global sessions unless set.
    pub fn application(mut self, name: &str) -> Self {
        self.settings_mut().application = Some(name.to_owned());
        self
    }

    /// The cookie outlives the browser: it gets the session's longest life as `Max-Age`. Off unless set: whoever uses a browser
    /// after somebody else is not signed in.
    pub fn persistent_cookie(mut self) -> Self {
        self.settings_mut().cookie.is_persistent = true;
        self
    }

    /// `SameSite=Strict`: the browser sends the cookie only from pages of this site, so that somebody who comes by a link
    /// of another seems to be signed out. `Lax` unless set.
    pub fn strict_same_site(mut self) -> Self {
        self.settings_mut().cookie.is_strict = true;
        self
    }

    /// Leaves out `Secure` and the prefix `__Host-`, for plain http on the loopback address.
    ///
    /// Anywhere else everybody on the way reads the cookie and is signed in with it, and a neighbour under the same domain can put one of
    /// his own in its place.
    pub fn dangerously_plain_cookies(mut self) -> Self {
        self.settings_mut().cookie.is_plain = true;
        self
    }

    /// The proxies whose `X-Forwarded-For` is believed, by address or network; each must append to it. None unless set: the address is that of
    /// the connection, and what a client writes into the header itself is not looked at.
    pub fn trusted_proxies<N: Into<IpNet>>(mut self, proxies: impl IntoIterator<Item = N>) -> Self {
        self.settings_mut().proxies = proxies.into_iter().map(Into::into).collect();
        self
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    fn visitor(&self, request: &Request) -> Visitor {
        let address = address::address(request, &self.settings.proxies);
        let device = address::device(address, request.headers());
        let token = self.settings.cookie.read(request.headers());
        Visitor::new(&self.sessions, &self.settings, token, device, address)
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService { inner, layer: self.clone() }
    }
}

impl<S> Service<Request> for SessionService<S>
where
    S: Service<Request, Response = Response, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let visitor = self.layer.visitor(&request);
        request.extensions_mut().insert(visitor.clone());
        let answer = self.inner.call(request);
        async move {
            let mut response = answer.await?;
            visitor.write_to(response.headers_mut());
            Ok(response)
        }
        .boxed()
    }
}
