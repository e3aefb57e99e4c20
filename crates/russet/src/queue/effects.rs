use serde::{Serialize, de::DeserializeOwned};

use super::{Queue, scripts};
use crate::{
    error::{Error, Result},
    names::{check_length, check_name},
};

/// The most effects of one task, and the longest field in bytes.
const MOST: usize = 100;
const LONGEST_FIELD: usize = 1_024;

/// What a task writes in Redis in the same step in which it is completed: values and numbers in hashes of the queue's own.
///
/// ```
/// # use russet::Effects;
/// # struct Order { id: u64, cents: i64 }
/// # let order = Order { id: 7, cents: 4_200 };
/// let effects = Effects::new()
///     .put("receipts", &order.id.to_string(), &"paid")
///     .add("totals", "cents", order.cents)
///     .remove("open", &order.id.to_string());
/// ```
///
/// Given to [`TaskContext::complete_with`](super::TaskContext::complete_with) or
/// [`Delivery::complete_with`](super::Delivery::complete_with). [`Queue::effect`] reads one; other programs read the hash
/// `<namespace>:{queue:<name>}:effects:<hash>`. They are the application's: they stay until it removes them, one by one
/// with an effect, or all of a hash with [`Queue::remove_effects`].
#[derive(Clone, Debug, Default)]
#[must_use = "effects are written together with the end of a task"]
pub struct Effects {
    pub(super) list: Vec<Effect>,
    fault: Option<Error>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub(super) hash: String,
    pub(super) field: String,
    pub(super) change: Change,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(Vec<u8>),
    Add(i64),
    Remove,
}

impl Effects {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The field of the hash is this value, as JSON.
    pub fn put<T: Serialize + ?Sized>(mut self, hash: &str, field: &str, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(value) => self.change(hash, field, Change::Put(value)),
            Err(cause) => {
                let error = Error::codec("an effect cannot be encoded", cause.into());
                self.fault.get_or_insert(error);
                self
            }
        }
    }

    /// The whole number in the field of the hash, 0 when there is none, grows by this; or falls. Sums stay below 2^53.
    pub fn add(self, hash: &str, field: &str, number: i64) -> Self {
        self.change(hash, field, Change::Add(number))
    }

    /// The hash has no such field.
    pub fn remove(self, hash: &str, field: &str) -> Self {
        self.change(hash, field, Change::Remove)
    }

    fn change(mut self, hash: &str, field: &str, change: Change) -> Self {
        self.list.push(Effect { hash: hash.to_owned(), field: field.to_owned(), change });
        self
    }

    /// Refuses what is out of its range.
    pub(super) fn checked(self, most_bytes: usize) -> Result<Vec<Effect>> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.list.len() > MOST {
            let count = self.list.len();
            return Err(Error::invalid(format_args!(
                "{count} effects of one task, more than the {MOST} allowed"
            )));
        }
        let mut bytes = 0;
        for Effect { hash, field, change } in &self.list {
            check_name("name of a hash", hash)?;
            check_length("field of an effect", field, LONGEST_FIELD)?;
            match change {
                Change::Put(value) => bytes += value.len(),
                Change::Add(number) if number.unsigned_abs() >= 1 << 53 => {
                    return Err(Error::invalid("a number to add must be below 2^53"));
                }
                _ => {}
            }
        }
        if bytes > most_bytes {
            return Err(Error::invalid(format_args!(
                "effects of {bytes} bytes, more than the {most_bytes} allowed"
            )));
        }
        Ok(self.list)
    }
}

impl Queue {
    /// What an effect left in this field of the hash: a value that was put, or a number. None when there is nothing. One
    /// round trip.
    ///
    /// # Errors
    /// `Codec` when it is of another type; otherwise when the server cannot be asked.
    pub async fn effect<T: DeserializeOwned>(&self, hash: &str, field: &str) -> Result<Option<T>> {
        let inner = &self.inner;
        let value = scripts::effect(&inner.russet, &inner.place, hash, field).await?;
        let decode = |value: Vec<u8>| serde_json::from_slice(&value);
        value.map(decode).transpose().map_err(|cause| {
            Error::codec(
                format_args!("queue {}: an effect cannot be decoded", inner.name),
                cause.into(),
            )
        })
    }

    /// Removes a hash of effects with all its fields; answers whether there was one. One round trip.
    ///
    /// # Errors
    /// When the server cannot be asked; `Unknown` when the answer was lost.
    pub async fn remove_effects(&self, hash: &str) -> Result<bool> {
        scripts::remove_effects(&self.inner.russet, &self.inner.place, hash).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_refused() {
        let long = "x".repeat(1_025);
        for bad in [
            Effects::new().put("", "field", &1),
            Effects::new().put("hash", "", &1),
            Effects::new().put("hash", &long, &1),
            Effects::new().put("hash", "field", &"x".repeat(100)),
            Effects::new().add("hash", "field", 1 << 53),
            (0..101).fold(Effects::new(), |effects, n| effects.add("hash", "field", n)),
            Effects::new().put("hash", "field", &std::collections::BTreeMap::from([(vec![1], 1)])),
        ] {
            assert!(bad.clone().checked(100).is_err(), "{bad:?}");
        }
        assert_eq!(Effects::new().put("hash", "field", "x").checked(100).unwrap().len(), 1);
    }
}
