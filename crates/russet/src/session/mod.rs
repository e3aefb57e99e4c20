//! Who is signed in: sessions that end when they should, and never come back.

mod builder;
mod change;
mod create;
mod csrf;
mod device;
mod end;
mod ended;
mod handle;
mod identity;
mod list;
mod log;
mod record;
mod rotate;
mod scripts;
mod secrets;
mod sso;
mod sweeper;
mod token;
mod validate;

use std::{fmt, sync::Arc};

pub use builder::SessionsBuilder;
pub use change::{Change, Saved};
pub use create::{Create, SignedIn};
pub use device::{Device, FingerprintPart, OnChange};
pub use end::SignedOut;
pub use ended::EndedSession;
pub use handle::Session;
pub use list::{AppSession, SessionInfo};
pub use log::{Activity, EndReason, EndedEntry};
pub use rotate::Rotate;
pub use sso::{Sso, Ticket};
pub use token::{SessionId, SessionToken};
pub use validate::Validation;

use crate::{client::Russet, error::Result, names::check_name};
use builder::Settings;
use scripts::{Place, SHARDS};
use secrets::{Secrets, mac};
use sweeper::Sweeper;

/// The sessions of one application, or of several under one sign-on.
///
/// A session belongs to a user, and a client holds it by a [`SessionToken`], of which Redis has the hash alone. It ends when it was
/// not used for the [`idle_timeout`](SessionsBuilder::idle_timeout), at its [`max_age`](SessionsBuilder::max_age), when somebody
/// [signs out](Self::sign_out) or [everywhere](Self::sign_out_everywhere), is [revoked](Self::revoke), or must make room for
/// a younger one. Once it has ended, nothing brings it back: each change is a script that refuses what is not there.
///
/// Who the user is, its roles, its deadlines and its device are signed, and looked at at every load. Attributes are not signed;
/// those that are [set](Session::set) at the same time in different places all survive.
///
/// Making, validating, changing and ending are one round trip each, on a Cluster too: all sessions of a user lie in one of 64 shards,
/// whose number stands in the token. A user's name has 1 to 256 bytes of any content. A cheap clone; all handles of one name are the same sessions.
///
/// A process that dies leaves nothing to be cleaned up: each handle that has made a call looks every two seconds for sessions that are over, ends them in
/// Redis, writes each in a log, and tells [who listens](SessionsBuilder::on_ended).
///
/// ```
/// # use russet::testing::TestServer;
/// use std::time::Duration;
/// use russet::{Device, Russet, Sessions, Validation};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = TestServer::start().await?;
/// # let url = server.url();
/// # let key = [7; 32];
/// let russet = Russet::connect(&url).await?;
/// let sessions = Sessions::builder(&russet, "web").secret(key).idle_timeout(Duration::from_secs(1_800)).build()?;
///
/// let client = Device::unknown().ip([127, 0, 0, 1]).user_agent("Firefox");
/// let (token, _) = sessions.create("user123", &client).await?; // after the password was right
///
/// let Validation::Valid(session) = sessions.validate(&token, &client).await? else { return Ok(()) };
/// session.set("cart", &["apples"]).await?;
/// assert_eq!(session.user(), "user123");
///
/// sessions.sign_out(&token).await?;
/// assert!(matches!(sessions.validate(&token, &client).await?, Validation::Unknown));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Sessions {
    inner: Arc<Inner>,
}

struct Inner {
    russet: Russet,
    name: String,
    place: Place,
    secrets: Secrets,
    settings: Settings,
    sweeper: Sweeper,
}

impl Sessions {
    /// Settings for the sessions of this name, 1 to 256 bytes.
    pub fn builder(russet: &Russet, name: &str) -> SessionsBuilder {
        SessionsBuilder::new(russet, name)
    }
}

impl Inner {
    fn name(&self) -> &str {
        &self.name
    }

    /// Where a user's sessions are. With a secret, nobody can choose names that all lie in one shard.
    fn shard(&self, user: &str) -> u8 {
        let key: &[u8] =
            self.settings.shard_secret.as_deref().unwrap_or(b"russet session shard v1");
        mac(key, &[self.name.as_bytes(), user.as_bytes()])[0] % SHARDS
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

fn check_user(user: &str) -> Result<()> {
    check_name("name of a user", user)
}
