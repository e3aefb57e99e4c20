//! The pages that people see: templates filled on the server, one style sheet, a little script.

mod device;
mod figures;
pub mod messages;
mod preferences;

use askama::Template;

use russet_axum::session::{Next, OwnSession};

use crate::http::overview::Overview;
use crate::http::stock::StockView;
use figures::{grouped, megabytes, points};
use messages::Messages;
pub use preferences::{Choice, Preferences, Theme};

/// The version that the pages show.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `/`.
#[derive(Template)]
#[template(path = "home.html")]
pub(crate) struct Home {
    pub(crate) t: &'static Messages,
    pub(crate) prefs: Preferences,
    pub(crate) now: Overview,
    /// A user that exists, for the look-up's field.
    pub(crate) first_user: i64,
    /// How long a query of the 1,000 callers takes.
    pub(crate) query_ms: u64,
}

/// `/chat`.
#[derive(Template)]
#[template(path = "chat.html")]
pub(crate) struct Talk {
    pub(crate) t: &'static Messages,
    pub(crate) prefs: Preferences,
}

/// `/shop`.
#[derive(Template)]
#[template(path = "shop.html")]
pub(crate) struct Store {
    pub(crate) t: &'static Messages,
    pub(crate) prefs: Preferences,
    /// What there is; nothing when Redis is away.
    pub(crate) products: Option<Vec<StockView>>,
}

/// `/docs`.
#[derive(Template)]
#[template(path = "docs.html")]
pub(crate) struct Docs {
    pub(crate) t: &'static Messages,
    pub(crate) prefs: Preferences,
}

/// `/login`.
#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct Login {
    pub(crate) t: &'static Messages,
    pub(crate) prefs: Preferences,
    pub(crate) next: Next,
    /// Who is signed in already, and the token of the form that signs out.
    pub(crate) signed_in: Option<(String, String)>,
    /// What was wrong; empty at first.
    pub(crate) error: &'static str,
}

/// `/sessions`.
#[derive(Template)]
#[template(path = "sessions.html")]
pub(crate) struct OwnSessions<'a> {
    pub(crate) t: &'static Messages,
    pub(crate) prefs: Preferences,
    pub(crate) user: &'a str,
    pub(crate) csrf: String,
    /// The newest first.
    pub(crate) sessions: Vec<OwnSession>,
}

/// `/app/{application}`.
#[derive(Template)]
#[template(path = "application.html")]
pub(crate) struct Application {
    pub(crate) t: &'static Messages,
    pub(crate) prefs: Preferences,
    /// As it stands in the path.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Who is signed in, and the token of the forms; nobody when a ticket was refused.
    pub(crate) signed_in: Option<(String, String)>,
    /// What it keeps.
    pub(crate) note: String,
}

/// A file that the pages load: its content type and text.
pub(crate) fn asset(name: &str) -> Option<(&'static str, &'static str)> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    Some(match name {
        "style.css" => ("text/css; charset=utf-8", include_str!("style.css")),
        "page.js" => (SCRIPT, include_str!("page.js")),
        "chat.js" => (SCRIPT, include_str!("chat.js")),
        "home.js" => (SCRIPT, include_str!("home.js")),
        "shop.js" => (SCRIPT, include_str!("shop.js")),
        "docs.js" => (SCRIPT, include_str!("docs.js")),
        "apple.svg" => ("image/svg+xml", include_str!("apple.svg")),
        _ => return None,
    })
}
