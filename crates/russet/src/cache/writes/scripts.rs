//! What writing sends to Redis.

use std::time::Duration;

use crate::{
    cache::{
        entry::Entry,
        scripts::{Place, fresh, goes_along, millis},
        ttl::Life,
    },
    client::Call,
    id::Id,
    keys::cache as keys,
    script::{Script, script},
};

static GUARD: Script = script!("cache/guard", include "now_ms", include "guards", include "wake");
static UNGUARD: Script = script!(
    "cache/unguard", include "now_ms", include "guards", include "wake", flags "allow-oom"
);
static THROUGH: Script =
    script!("cache/through", include "now_ms", include "stamp", include "newer", include "wake");
static THROUGH_GUARDED: Script = script!(
    "cache/through_guarded", include "now_ms", include "stamp", include "guards", include "wake"
);

/// How long a record may take to be written and its value still be stored.
const TICKET: Duration = Duration::from_secs(60);

/// A record as it was written.
pub(super) struct Record<'a> {
    pub(super) payload: Option<&'a [u8]>,
    pub(super) version: u64,
    pub(super) life: Life,
}

/// Places a guard; answers whether it stands.
pub(super) fn guard(place: &Place, token: Id, time: Duration) -> Call {
    guarding(place, token, time, false)
}

/// Keeps a guard for another term; answers whether it was still there.
pub(super) fn renewal(place: &Place, token: Id, time: Duration) -> Call {
    guarding(place, token, time, true)
}

fn guarding(place: &Place, token: Id, time: Duration, renew: bool) -> Call {
    let call =
        Call::script(&GUARD, place.slot(), &[place.entry(), &place.waiters(), &place.refresh()]);
    let call = call.arg(token.to_string()).arg(millis(time)).arg(u8::from(renew));
    place.tell(call).idempotent()
}

/// Drops a guard and whatever stands there when no other one does. Answers 0.
pub(super) fn unguard(place: &Place, token: Id) -> Call {
    place.tell(ending(place, &UNGUARD).arg(token.to_string())).idempotent()
}

/// Says that a record is about to be written, by whom the copy may then be replaced.
pub(super) fn ticket(place: &Place, token: Id) -> Call {
    let call = Call::write("SET", place.slot()).key(&keys::ticket(place.key()));
    call.arg(token.to_string()).arg("PX").arg(millis(TICKET)).idempotent()
}

/// Replaces the copy by what was written, unless something newer stands there. Answers whether what was written, or
/// something newer, stands there.
pub(super) fn through(place: &Place, token: Id, record: &Record<'_>) -> Call {
    let entry = Entry::versioned(record.payload, record.version);
    let along = goes_along(&entry);
    let call = ending(place, &THROUGH)
        .arg(token.to_string())
        .arg(record.version.to_string())
        .arg(entry)
        .arg(millis(record.life.kept))
        .arg(fresh(record.life))
        .arg(along);
    place.tell(call)
}

/// The same in place of a guard.
pub(super) fn through_guarded(place: &Place, token: Id, record: &Record<'_>) -> Call {
    let entry = Entry::versioned(record.payload, record.version);
    let call = ending(place, &THROUGH_GUARDED).arg(token.to_string()).arg(entry);
    place.tell(call.arg(millis(record.life.kept)).arg(fresh(record.life)))
}

/// What also ends the ticket of whoever has one, and the refreshes under way.
fn ending(place: &Place, script: &'static Script) -> Call {
    let ticket = keys::ticket(place.key());
    let parts = [place.entry(), &place.waiters(), &ticket, &place.refresh()];
    Call::script(script, place.slot(), &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::behind,
        client::Russet,
        keys::{Namespace, Slot},
        testing::TestServer,
    };

    #[tokio::test]
    async fn every_write_ends_the_refresh_that_is_under_way() {
        let server = TestServer::start().await.unwrap();
        let russet = Russet::connect(&server.url()).await.unwrap();
        let slot = Slot::partition(&Namespace::new("test").unwrap(), "cache", "users", 0).unwrap();
        let place = Place::new(slot, "1".into(), "changes".into());
        let (token, minute) = (Id::random().unwrap(), Duration::from_secs(60));
        let life = Life { fresh: Some(minute), kept: minute };
        let record = Record { payload: Some(b"new"), version: 1, life };
        let writes = [
            ("put", place.put(b"new", life)),
            ("invalidate", place.invalidate()),
            ("guard", guard(&place, token, minute)),
            ("unguard", unguard(&place, token)),
            ("through", through(&place, token, &record)),
            ("through_guarded", through_guarded(&place, token, &record)),
            ("behind_put", behind::scripts::put(&place, Some(b"new"), minute, 10)),
        ];
        for (name, write) in writes {
            let lease = Call::write("SET", place.slot()).key(&place.refresh());
            russet.run::<()>(lease.arg(Entry::lease(token)).arg("PX").arg(60_000)).await.unwrap();
            russet.run::<crate::client::raw::Value>(write).await.unwrap();
            let left = Call::read("GET", place.slot()).key(&place.refresh());
            assert_eq!(russet.run::<Option<String>>(left).await.unwrap(), None, "{name}");
            russet.run::<i64>(unguard(&place, token)).await.unwrap();
        }
    }
}
