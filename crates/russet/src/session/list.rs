use std::{net::IpAddr, time::SystemTime};

use super::{
    Sessions, check_user,
    record::Record,
    scripts,
    token::{SessionId, SessionToken, Spot},
};
use crate::{
    clock::from_millis,
    error::{Error, Result},
};

/// What is shown of a session: to its owner, and to operators.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its public name.
    pub id: SessionId,
    /// Whose it is.
    pub user: String,
    /// What the user may do.
    pub roles: Vec<String>,
    /// When it was made.
    pub created: SystemTime,
    /// When it was used last, as exactly as [touches](super::SessionsBuilder::touch_after) are.
    pub last_seen: SystemTime,
    /// When it ends unless it is used before.
    pub idle_until: SystemTime,
    /// When it ends however much it is used.
    pub ends: SystemTime,
    /// The address that it was made from.
    pub ip: Option<IpAddr>,
    /// The address that it was used from last.
    pub last_ip: Option<IpAddr>,
    /// What the device said it was.
    pub user_agent: String,
    /// The application that it is of.
    pub app: Option<String>,
    /// The sessions of applications under it.
    pub apps: Vec<AppSession>,
}

/// A session of an application, under a global one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppSession {
    /// The application.
    pub app: String,
    /// The session's public name.
    pub id: SessionId,
}

/// The most sessions that one call looks at.
const MOST: usize = 1_000;
/// How many are asked for at once.
const PAGE: usize = 100;

impl Sessions {
    /// A user's sessions, the oldest first, up to 1,000; those of applications stand in the global ones. None is touched. A round
    /// trip for their names and one for each hundred of them; what is not signed by us is left out.
    ///
    /// # Errors
    /// `Invalid` for a name that is no user's; the errors of the connection.
    #[tracing::instrument(name = "session.list", level = "debug", skip_all)]
    pub async fn list(&self, user: &str) -> Result<Vec<SessionInfo>> {
        check_user(user)?;
        let (inner, mut found) = (&self.inner, Vec::new());
        let shard = inner.shard(user);
        let mut after: Option<String> = None;
        while found.len() < MOST {
            let (russet, place) = (&inner.russet, &inner.place);
            let page = scripts::list(russet, place, shard, user, after.as_deref(), PAGE).await?;
            let spots: Vec<_> =
                page.iter().map(|(_, id)| Spot { shard, id: *id, global: None }).collect();
            found.extend(self.infos(&spots).await?.into_iter().flatten());
            match page.last() {
                Some((place, _)) if page.len() == PAGE => after = Some(place.clone()),
                _ => break,
            }
        }
        Ok(found)
    }

    /// One of a user's sessions by its public id, without touching it.
    ///
    /// # Errors
    /// `Invalid` for a name that is no user's; the errors of the connection.
    pub async fn find(&self, user: &str, id: SessionId) -> Result<Option<SessionInfo>> {
        check_user(user)?;
        let spot = Spot { shard: self.inner.shard(user), id, global: None };
        let found = self.infos(&[spot]).await?.pop().flatten();
        Ok(found.filter(|info| info.user == user))
    }

    /// What sessions these tokens are of, without touching them and whatever device they come from; up to 1,000 in one
    /// round trip. None for those that are not valid.
    ///
    /// # Errors
    /// `Invalid` for more than 1,000 tokens; the errors of the connection.
    pub async fn look_many(&self, tokens: &[SessionToken]) -> Result<Vec<Option<SessionInfo>>> {
        if tokens.len() > MOST {
            return Err(Error::invalid(format_args!(
                "{} tokens are more than the {MOST} of one call",
                tokens.len()
            )));
        }
        let inner = &self.inner;
        let spot = |token: &SessionToken| token.spot(&inner.secrets, inner.name()).ok();
        let spots: Vec<_> = tokens.iter().map(spot).collect();
        let known: Vec<_> = spots.iter().copied().flatten().collect();
        let mut infos = self.infos(&known).await?.into_iter();
        Ok(spots.into_iter().map(|spot| spot.and_then(|_| infos.next().flatten())).collect())
    }

    async fn infos(&self, spots: &[Spot]) -> Result<Vec<Option<SessionInfo>>> {
        if spots.is_empty() {
            return Ok(Vec::new());
        }
        let inner = &self.inner;
        let read = scripts::look(&inner.russet, &inner.place, spots).await?;
        Ok(spots.iter().zip(read).map(|(spot, read)| self.info(*spot, read)).collect())
    }

    fn info(&self, spot: Spot, read: scripts::Read) -> Option<SessionInfo> {
        let record = Record::read(read.fields);
        let identity = record.identity(&self.inner, spot).filter(|_| read.word == "live")?;
        let head = record.head()?;
        let apps = record.apps.into_iter().map(|(app, id)| AppSession { app, id });
        Some(SessionInfo {
            id: spot.id,
            user: identity.user,
            roles: identity.roles,
            created: from_millis(identity.created),
            last_seen: from_millis(head.seen),
            idle_until: from_millis(head.idle_until),
            ends: from_millis(identity.ends),
            ip: identity.ip,
            last_ip: record.ip,
            user_agent: identity.user_agent,
            app: identity.app,
            apps: apps.collect(),
        })
    }
}
