//! How a write reaches the record and the cache, by policy.
//!
//! New users get their id from SQL under each of them, and a delete is the same for `Around` and `Through`: a copy that
//! is dropped needs no version.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _};
use russet::{CachedCopy, ErrorKind, Source};

use super::ids::Told;
use super::table::{Copy, Order};
use super::{UserWrites, Users, UsersError};
use crate::db::{Admitted, NewUser, User, Written, now};

/// How often the id of a new user is looked at before it counts as used.
const LOOKS: usize = 3;

impl Users {
    /// The filter is told of the id inside the transaction, before the commit makes the row visible: nobody finds the user
    /// in a list whom a look-up would deny. A filter that cannot be told leaves the note of the write, which tells it later.
    pub(super) async fn create_around(&self, user: NewUser) -> Result<User, UsersError> {
        let behind = self.settings.writes == UserWrites::Behind;
        self.in_its_own_task(move |users, dropped| {
            async move {
                let told = Mutex::new(Told::NOT);
                let admit = |id| {
                    let (told, users) = (&told, &users);
                    async move {
                        // Whoever queues a write tells the filter before.
                        let is_unknown = behind && users.ids.is_unknown(id).await;
                        let now = users.ids.tell(id).await;
                        *told.lock().unwrap_or_else(PoisonError::into_inner) = now;
                        match behind {
                            true if !now.was() => Admitted::No,
                            true if !is_unknown => users.is_free(id).await,
                            _ => Admitted::Yes,
                        }
                    }
                    .boxed()
                };
                let written = users.db.create_admitted_user(&user, &dropped, &admit).await?;
                let told = *told.lock().unwrap_or_else(PoisonError::into_inner);
                let written = written.ok_or(UsersError::NoQueue)?;
                Ok(users.drop_copy(written, told).await)
            }
            .boxed()
        })
        .await
    }

    pub(super) async fn put_around(
        &self,
        id: i64,
        user: NewUser,
    ) -> Result<(User, bool), UsersError> {
        self.in_its_own_task(move |users, dropped| {
            async move {
                let told = users.ids.tell(id).await;
                let written = users.db.put_user(id, &user, &dropped).await?;
                Ok(users.drop_copy(written, told).await)
            }
            .boxed()
        })
        .await
    }

    pub(super) async fn delete_around(&self, id: i64) -> Result<bool, UsersError> {
        self.in_its_own_task(move |users, dropped| {
            async move {
                let written = users.db.delete_user(id, &dropped).await?;
                let copy = users.cache.invalidate(&id).await;
                Ok(users.settle(written, copy.is_ok()))
            }
            .boxed()
        })
        .await
    }

    /// The record, then what was written in place of the copy. Without Redis it is written around the cache.
    pub(super) async fn put_through(
        &self,
        id: i64,
        user: NewUser,
    ) -> Result<(User, bool), UsersError> {
        let whole = self.complete(id, &user).await?;
        let again = user.clone();
        let done = self
            .in_its_own_task(move |users, dropped| {
                async move {
                    let created_at = user.created_at;
                    let order = Arc::new(Order { created_at, dropped, done: OnceLock::new() });
                    let copy = Copy { user: whole.0, order: Some(order.clone()) };
                    let start = Told::now(users.settings.settle);
                    let put = users.cache.put(&id, &copy).await;
                    match (order.done.get().cloned(), put) {
                        (Some(written), put) => {
                            let is_there = put.is_ok_and(|put| put.copy != CachedCopy::Late);
                            Ok(Some(users.settle(written, is_there && start.in_time())))
                        }
                        (None, Err(error)) if error.kind() != ErrorKind::Write => {
                            tracing::debug!(%error, "a user is written around the cache");
                            users.owed.add_needless(&order.dropped);
                            Ok(None)
                        }
                        (None, Err(error)) => Err(error.into()),
                        (None, Ok(_)) => Ok(None),
                    }
                }
                .boxed()
            })
            .await?;
        match done {
            Some(outcome) => Ok(outcome),
            None => self.put_around(id, again).await,
        }
    }

    /// Queued in Redis, where every look-up sees it. Two who make one user at the same moment may both be told that there
    /// was none.
    pub(super) async fn put_behind(
        &self,
        id: i64,
        user: NewUser,
    ) -> Result<(User, bool), UsersError> {
        let (whole, is_new) = self.complete(id, &user).await?;
        let copy = Copy::from(whole);
        self.cache.put(&id, &copy).await?;
        self.owed.replaced(id);
        Ok((copy.user, is_new))
    }

    pub(super) async fn delete_behind(&self, id: i64) -> Result<bool, UsersError> {
        if self.find(id).await?.user.is_none() {
            return Ok(false);
        }
        self.cache.remove(&id).await?;
        self.owed.replaced(id);
        Ok(true)
    }

    /// The user as it is to be, and whether there is none under this id.
    async fn complete(&self, id: i64, user: &NewUser) -> Result<(User, bool), UsersError> {
        let there = self.find(id).await?.user;
        let is_new = there.is_none();
        let created_at = user.created_at.or(there.map(|user| user.created_at));
        let created_at = created_at.unwrap_or_else(now);
        let (name, email) = (user.name.clone(), user.email.clone());
        Ok((User { id, name, email, created_at }, is_new))
    }

    /// Whether SQL may give this id to a new user: not when a write of it is queued, which would come over the new one.
    /// What is queued after this is a later write of the new user.
    async fn is_free(&self, id: i64) -> Admitted {
        let looked = async {
            for _ in 0..LOOKS {
                self.cache.invalidate(&id).await?;
                // No load is begun while a write of the key is queued, a delete included. Another look-up of this moment
                // may have begun one.
                let began = AtomicBool::new(false);
                let load = async || {
                    began.store(true, Ordering::Relaxed);
                    Ok::<_, Infallible>(None)
                };
                let found = self.cache.find_with_source(&id, load).await?;
                if found.source == Source::Bypass {
                    return Ok(Admitted::No);
                }
                if began.into_inner() {
                    return Ok(Admitted::Yes);
                }
            }
            Ok(Admitted::Taken)
        };
        looked.await.unwrap_or_else(|error: russet::Error| {
            tracing::debug!(%error, "a new user gets no id");
            Admitted::No
        })
    }

    /// After a commit: drops the copy of a user of whom the filter was told before.
    async fn drop_copy<T>(&self, written: Written<T>, told: Told) -> T {
        let dropped = match told.in_time() {
            true => self.cache.invalidate(&written.user_id).await.is_ok(),
            false => false,
        };
        self.settle(written, dropped)
    }

    /// Forgets the note of a write, or keeps it until its copy is dropped.
    fn settle<T>(&self, written: Written<T>, is_done: bool) -> T {
        if is_done {
            self.owed.add_needless(&[written.note]);
        } else {
            tracing::warn!("a cached user could not be dropped; it is read from SQL until it is");
            self.owed.add(written.user_id, written.note);
        }
        written.outcome
    }

    /// Runs a write to its end also when the caller is gone meanwhile: a write whose copy stays would be served as it was
    /// before. It is given the notes that it can remove from the database.
    async fn in_its_own_task<T: Send + 'static>(
        &self,
        write: impl FnOnce(Users, Vec<i64>) -> BoxFuture<'static, Result<T, UsersError>>,
    ) -> Result<T, UsersError> {
        if self.owed.is_full() {
            return Err(UsersError::TooManyOwed);
        }
        let needless = self.owed.take_needless();
        let (owed, written) = (self.owed.clone(), write(self.clone(), needless.clone()));
        tokio::spawn(async move { written.await.inspect_err(|_| owed.add_needless(&needless)) })
            .await?
    }
}
