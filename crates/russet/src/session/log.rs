//! What is written down: which sessions have ended, and what was suspicious.

use std::time::SystemTime;

use super::{
    Sessions,
    device::Device,
    handle::Session,
    scripts::{self, Entry},
    token::{SessionId, Spot},
};
use crate::{
    clock::from_millis,
    error::{Error, Result},
    names::{check_name, decode},
};

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// It was not used for the idle timeout.
    Idle,
    /// Its time was over, however much it was used.
    MaxAge,
    /// Its owner has signed out.
    SignedOut,
    /// The user has signed out everywhere.
    SignedOutEverywhere,
    /// Somebody ended it by its id, or its device had changed.
    Revoked,
    /// It was the oldest, and the user had as many as allowed.
    Evicted,
    /// It was an application's, and its global session has ended, or the application has a newer one there.
    WithGlobal,
}

/// An entry in the log of ended sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedEntry {
    /// When it was written, by the server's clock.
    pub at: SystemTime,
    /// The session's public name.
    pub id: SessionId,
    /// Whose it was.
    pub user: String,
    /// The application that it was of.
    pub app: Option<String>,
    /// Why it ended.
    pub reason: EndReason,
    /// When it was used last.
    pub last_seen: SystemTime,
}

/// An entry in the log of what was suspicious.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// When it was written, by the server's clock.
    pub at: SystemTime,
    /// What: `address_changed`, `device_changed`, `tampered`, `ticket_stolen`, or what [`note`](Sessions::note_activity) was told.
    pub what: String,
    /// The session's public name.
    pub id: SessionId,
    /// Whose it is; none when that could not be believed.
    pub user: Option<String>,
    /// The address that it came from.
    pub ip: Option<String>,
    /// What the device said it was.
    pub user_agent: String,
}

impl EndReason {
    /// The word that stands in Redis, and in lists of operators.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::MaxAge => "max_age",
            Self::SignedOut => "signed_out",
            Self::SignedOutEverywhere => "signed_out_everywhere",
            Self::Revoked => "revoked",
            Self::Evicted => "evicted",
            Self::WithGlobal => "with_global",
        }
    }

    pub(super) fn read(word: &str) -> Self {
        match word {
            "idle" => Self::Idle,
            "absolute" => Self::MaxAge,
            "everywhere" => Self::SignedOutEverywhere,
            "revoked" => Self::Revoked,
            "evicted" => Self::Evicted,
            "with_global" => Self::WithGlobal,
            _ => Self::SignedOut,
        }
    }
}

impl Sessions {
    /// The newest entries of the log of ended sessions, the newest first, `n` from 1 to 1,000. One round trip to each node.
    ///
    /// # Errors
    /// `Invalid` for another `n`; the errors of the connection.
    pub async fn ended(&self, n: usize) -> Result<Vec<EndedEntry>> {
        let entries = self.newest(false, n).await?;
        let read = |(at, fields): (SystemTime, Fields)| {
            Some(EndedEntry {
                at,
                id: fields.get("id")?.parse().ok()?,
                user: decode(fields.get("user")?)?,
                app: fields.get("app").filter(|app| *app != "-").and_then(decode),
                reason: EndReason::read(fields.get("why")?),
                last_seen: from_millis(fields.get("seen")?.parse().ok()?),
            })
        };
        Ok(entries.into_iter().filter_map(read).collect())
    }

    /// The newest entries of the log of what was suspicious, the newest first, `n` from 1 to 1,000. One round trip to each node.
    ///
    /// # Errors
    /// As [`ended`](Self::ended).
    pub async fn activity(&self, n: usize) -> Result<Vec<Activity>> {
        let entries = self.newest(true, n).await?;
        let read = |(at, fields): (SystemTime, Fields)| {
            let text = |name| fields.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
            Some(Activity {
                at,
                what: fields.get("what")?.to_owned(),
                id: fields.get("id")?.parse().ok()?,
                user: text("user"),
                ip: text("ip"),
                user_agent: text("agent").unwrap_or_default(),
            })
        };
        Ok(entries.into_iter().filter_map(read).collect())
    }

    /// Writes down something suspicious about a session, in a word or a few: a wrong CSRF token, say. One round trip.
    ///
    /// # Errors
    /// `Invalid` when it is not 1 to 256 bytes; the errors of the connection.
    pub async fn note_activity(
        &self,
        what: &str,
        session: &Session,
        device: &Device,
    ) -> Result<()> {
        check_name("activity", what)?;
        self.note(session.spot(), what, None, device, Some(session)).await
    }

    /// The same where something else is the answer: that a log cannot be written changes nothing about it.
    pub(super) async fn try_note(
        &self,
        spot: Spot,
        what: &str,
        new_ip: Option<&str>,
        device: &Device,
        session: Option<&Session>,
    ) {
        if let Err(error) = self.note(spot, what, new_ip, device, session).await {
            tracing::warn!(sessions = self.inner.name(), what, %error, "suspicious activity could not be written down");
        }
    }

    async fn note(
        &self,
        spot: Spot,
        what: &str,
        new_ip: Option<&str>,
        device: &Device,
        session: Option<&Session>,
    ) -> Result<()> {
        let inner = &self.inner;
        tracing::warn!(sessions = inner.name(), what, "suspicious activity");
        let (id, ip) = (spot.id.to_string(), device.ip.map(|ip| ip.to_string()));
        let fields = [
            ("v", "1"),
            ("what", what),
            ("id", &id),
            ("user", session.map_or("", Session::user)),
            ("ip", ip.as_deref().unwrap_or_default()),
            ("agent", &device.user_agent),
        ];
        let (new_ip, log) = (new_ip.unwrap_or_default(), inner.settings.log());
        scripts::note(&inner.russet, &inner.place, spot, new_ip, log, &fields).await
    }

    async fn newest(&self, is_activity: bool, n: usize) -> Result<Vec<(SystemTime, Fields)>> {
        if !(1..=1_000).contains(&n) {
            return Err(Error::invalid(format_args!(
                "a log is read by 1 to 1,000 entries, not {n}"
            )));
        }
        let inner = &self.inner;
        let read = scripts::newest(&inner.russet, &inner.place, is_activity, n).await?;
        let mut entries: Vec<_> =
            read.into_iter().filter_map(|(_, entry)| Some((place_of(&entry)?, entry))).collect();
        entries.sort_by(|(one, _), (other, _)| other.cmp(one));
        let dated = |((ms, _), (_, fields)): ((i64, u64), Entry)| (from_millis(ms), Fields(fields));
        Ok(entries.into_iter().take(n).map(dated).collect())
    }
}

/// The id of a stream's entry: when it was written, and the how manieth in that millisecond.
fn place_of((id, _): &Entry) -> Option<(i64, u64)> {
    let (ms, number) = id.split_once('-')?;
    Some((ms.parse().ok()?, number.parse().ok()?))
}

/// Names and values by turns.
struct Fields(Vec<String>);

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        let (pairs, _) = self.0.as_chunks::<2>();
        pairs.iter().find(|[own, _]| own == name).map(|[_, value]| value.as_str())
    }
}
