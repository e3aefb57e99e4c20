use super::{
    Sessions, check_user,
    handle::Session,
    scripts::{self, End},
    token::{SessionId, SessionToken, Spot},
};
use crate::{
    client::Reached,
    error::{Error, Result},
};

/// Whether a session was ended by the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedOut {
    /// It was, by this call; or its time was over, and it was taken away.
    Done {
        /// What the write had reached, by the handle's [durability](crate::Russet::durability).
        reached: Reached,
    },
    /// There is no such session, or not one of this user.
    Unknown,
}

impl Sessions {
    /// Ends a client's session, and those of applications under it. One round trip.
    ///
    /// # Errors
    /// The errors of the connection.
    #[tracing::instrument(name = "session.sign_out", level = "debug", skip_all)]
    pub async fn sign_out(&self, token: &SessionToken) -> Result<SignedOut> {
        let inner = &self.inner;
        match token.spot(&inner.secrets, inner.name()) {
            Ok(spot) => self.finish(spot, "signed_out", None).await,
            Err(_) => Ok(SignedOut::Unknown),
        }
    }

    /// Ends one of a user's sessions by its public id, and those of applications under it. One round trip.
    ///
    /// # Errors
    /// `Invalid` for a name that is no user's; the errors of the connection.
    #[tracing::instrument(name = "session.revoke", level = "debug", skip_all)]
    pub async fn revoke(&self, user: &str, id: SessionId) -> Result<SignedOut> {
        check_user(user)?;
        let spot = Spot { shard: self.inner.shard(user), id, global: None };
        self.finish(spot, "revoked", Some(user)).await
    }

    /// Ends all of a user's sessions, and those that others are making for the user at this moment. One round trip,
    /// however many they are: their tokens are unknown at once, their records are taken away by and by.
    ///
    /// # Errors
    /// `Invalid` for a name that is no user's; the errors of the connection.
    #[tracing::instrument(name = "session.sign_out_everywhere", level = "debug", skip_all)]
    pub async fn sign_out_everywhere(&self, user: &str) -> Result<Reached> {
        check_user(user)?;
        self.keep_swept();
        let inner = &self.inner;
        let (shard, russet) = (inner.shard(user), &inner.russet);
        let (_, reached) = scripts::sign_out(russet, &inner.place, shard, user, None).await?;
        Ok(reached)
    }

    /// The same without this session; false when it had ended itself. The sessions of applications under it go on.
    ///
    /// # Errors
    /// As [`sign_out_everywhere`](Self::sign_out_everywhere); `Invalid` for an application's session under a global one.
    #[tracing::instrument(name = "session.sign_out_others", level = "debug", skip_all)]
    pub async fn sign_out_others(&self, session: &Session) -> Result<bool> {
        let (inner, spot) = (&self.inner, session.spot());
        if spot.global.is_some() {
            return Err(Error::invalid(
                "the session is an application's: name the global one that it stands under",
            ));
        }
        self.keep_swept();
        let (place, user) = (&inner.place, session.user());
        let (word, _) =
            scripts::sign_out(&inner.russet, place, spot.shard, user, Some(spot.id)).await?;
        Ok(word == "done")
    }

    pub(super) async fn finish(
        &self,
        spot: Spot,
        why: &str,
        user: Option<&str>,
    ) -> Result<SignedOut> {
        self.keep_swept();
        let inner = &self.inner;
        let end = End { why, member: "", user, log: inner.settings.log() };
        let ((word, _), reached) = scripts::finish(&inner.russet, &inner.place, spot, end).await?;
        if word != "done" {
            return Ok(SignedOut::Unknown);
        }
        Ok(SignedOut::Done { reached })
    }
}
