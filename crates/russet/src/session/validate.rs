use super::{
    Sessions,
    device::{Device, OnChange},
    handle::{Parts, Session},
    record::Record,
    scripts,
    token::{NoToken, SessionToken, Spot},
};
use crate::error::Result;

/// What a token is good for.
///
/// The application tells these apart, for its log and its counters; a client should get one and the same answer for all but the
/// first, or it learns what it must not know.
#[derive(Clone, Debug)]
#[must_use]
pub enum Validation {
    /// It is that of a session, which was touched.
    Valid(Session),
    /// There is no such session: it was signed out, revoked or evicted, it was idle for too long a while ago, or it never was there.
    Unknown,
    /// There is one, and its time is over.
    Expired,
    /// The token, or what stands in Redis, was not signed by us, or was changed since.
    Tampered,
    /// It came from another device or address than is allowed.
    Mismatched,
}

impl Sessions {
    /// Looks what a client's token is good for, and keeps its session alive. One round trip, and a second one when something suspicious
    /// is to be written down, or the address has changed.
    ///
    /// # Errors
    /// The errors of the connection. Whoever guards something with it must refuse then.
    #[tracing::instrument(name = "session.validate", level = "debug", skip_all)]
    pub async fn validate(&self, token: &SessionToken, device: &Device) -> Result<Validation> {
        let validation = self.judge(token, device).await?;
        let result = match &validation {
            Validation::Valid(_) => "valid",
            Validation::Unknown => "unknown",
            Validation::Expired => "expired",
            Validation::Tampered => "tampered",
            Validation::Mismatched => "mismatched",
        };
        let name = self.inner.name.clone();
        metrics::counter!("russet_sessions_validated_total", "sessions" => name, "result" => result)
            .increment(1);
        Ok(validation)
    }

    async fn judge(&self, token: &SessionToken, device: &Device) -> Result<Validation> {
        let inner = &self.inner;
        let spot = match token.spot(&inner.secrets, inner.name()) {
            Ok(spot) => spot,
            Err(NoToken::Malformed) => return Ok(Validation::Unknown),
            // Nobody's: there is no session that it could be written down for.
            Err(NoToken::Forged) => return Ok(Validation::Tampered),
        };
        self.keep_swept();
        let settings = &inner.settings;
        let (idle, slack) = (settings.idle_timeout, settings.slack());
        let read = scripts::validate(&inner.russet, &inner.place, spot, idle, slack).await?;
        inner.russet.clock().learn(read.now);
        match read.word.as_str() {
            "live" => self.check(spot, read, device).await,
            "idle" | "absolute" => Ok(Validation::Expired),
            _ => Ok(Validation::Unknown),
        }
    }

    /// Looks at the signature and at the device.
    async fn check(&self, spot: Spot, read: scripts::Read, device: &Device) -> Result<Validation> {
        let (inner, settings) = (&self.inner, &self.inner.settings);
        let Some(session) = self.open(spot, read) else {
            self.try_note(spot, "tampered", None, device, None).await;
            return Ok(Validation::Tampered);
        };
        let (session, last_ip) = session;
        let identity = session.identity();
        if !settings.fingerprint.is_empty()
            && !identity.is_device(device, &settings.fingerprint, &inner.secrets)
        {
            self.try_note(spot, "device_changed", None, device, Some(&session)).await;
            if !self.goes_on(settings.on_fingerprint_change, &session).await? {
                return Ok(Validation::Mismatched);
            }
        }
        if let (Some(ip), Some(last)) = (device.ip, last_ip)
            && ip != last
        {
            let then = settings.on_address_change;
            // Whoever is refused does not become the one who was there last.
            let new_ip = (then == OnChange::Allow).then(|| ip.to_string());
            self.try_note(spot, "address_changed", new_ip.as_deref(), device, Some(&session)).await;
            if !self.goes_on(then, &session).await? {
                return Ok(Validation::Mismatched);
            }
        }
        Ok(Validation::Valid(session))
    }

    async fn goes_on(&self, then: OnChange, session: &Session) -> Result<bool> {
        match then {
            OnChange::Allow => Ok(true),
            OnChange::Reject => Ok(false),
            OnChange::RequireLogin => {
                self.finish(session.spot(), "revoked", None).await?;
                Ok(false)
            }
        }
    }

    /// A session that was read, with the address of its last use, if its signature is ours.
    pub(super) fn open(
        &self,
        spot: Spot,
        read: scripts::Read,
    ) -> Option<(Session, Option<std::net::IpAddr>)> {
        let (record, above) = (Record::read(read.fields), Record::read(read.above));
        let identity = record.identity(&self.inner, spot)?;
        if let Some(id) = spot.global {
            // Its attributes are part of this one's: they must be of the same user.
            let global = Spot { id, global: None, ..spot };
            above.identity(&self.inner, global).filter(|above| above.user == identity.user)?;
        }
        let last_ip = record.ip;
        let parts = Parts { spot, identity, record, above, reached: None };
        Some((Session::new(self, parts), last_ip))
    }
}
