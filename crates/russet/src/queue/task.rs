use std::{fmt, str::FromStr, time::SystemTime};

use rand::RngExt;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clock::from_millis,
    codec::{Codec, Json},
    error::{BoxError, Error, Result},
};

/// What can be put on a queue: a serde type with a name of its own, which is what stands in Redis. The name of the Rust
/// type is not used, so that the type can be renamed. It stands there as JSON, unless the type encodes itself otherwise.
///
/// ```
/// use russet::Task;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SendEmail { email: String, subject: String }
///
/// impl Task for SendEmail {
///     const NAME: &'static str = "send_email";
/// }
/// ```
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// What the kind of task is called: 1 to 64 of the characters `A–Z a–z 0–9 _ . -`.
    const NAME: &'static str;

    /// The bytes that stand in Redis: JSON, unless the type has another way, as that of a [`Codec`] of its own. All processes
    /// of the queue must read it.
    ///
    /// ```
    /// # use russet::{BoxError, Task};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize)]
    /// struct Line(String);
    ///
    /// impl Task for Line {
    ///     const NAME: &'static str = "line";
    ///
    ///     fn encode_body(&self) -> Result<Vec<u8>, BoxError> {
    ///         Ok(self.0.clone().into_bytes())
    ///     }
    ///
    ///     fn decode_body(bytes: &[u8]) -> Result<Self, BoxError> {
    ///         Ok(Self(String::from_utf8(bytes.to_vec())?))
    ///     }
    /// }
    /// # assert_eq!(Line::decode_body(&Line("x".into()).encode_body()?)?.0, "x");
    /// # Ok::<(), BoxError>(())
    /// ```
    ///
    /// # Errors
    /// Whatever the format cannot express: nothing is enqueued.
    fn encode_body(&self) -> Result<Vec<u8>, BoxError> {
        Json.encode(self)
    }

    /// The task that the bytes stand for.
    ///
    /// # Errors
    /// The bytes are not of this format or not of this type: the task is dead, with this as its reason.
    fn decode_body(bytes: &[u8]) -> Result<Self, BoxError> {
        Json.decode(bytes)
    }
}

/// The longest name of a kind of task.
const MAX_NAME: usize = 64;

/// Refuses a name that could not stand in a record.
pub(super) fn check_task_name(name: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(Error::invalid(format_args!(
        "the task name {name:?} is not 1 to {MAX_NAME} of the characters A-Z, a-z, 0-9, _, . and -"
    )))
}

/// The digits of an id, in the order of their bytes.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LENGTH: usize = 22;
/// 48 bits of time and as many random ones fill 21 digits.
const RANDOM_BITS: u32 = 77;

fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'Z' => digit - b'A' + 10,
        _ => digit - b'a' + 36,
    }
}

/// The id of a task: 22 letters and digits. The first ones tell the time at which it was made, so that ids sort by it; the
/// last one is the task's priority.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId([u8; LENGTH]);

impl TaskId {
    pub(super) fn new(now_ms: i64, priority: u8) -> Self {
        Self::of(now_ms, rand::rng().random(), priority)
    }

    /// The id that these always give: for a task that several processes may enqueue.
    pub(super) fn of(ms: i64, random: u128, priority: u8) -> Self {
        let time = u128::from(ms.unsigned_abs() & ((1 << 48) - 1)) << RANDOM_BITS;
        let mut rest = time | (random & ((1 << RANDOM_BITS) - 1));
        let mut id = [b'0' + priority; LENGTH];
        for place in id[..LENGTH - 1].iter_mut().rev() {
            *place = DIGITS[(rest % 62) as usize];
            rest /= 62;
        }
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The id so many after this one: a batch is told by its first.
    pub(super) fn following(mut self, number: usize) -> Self {
        let mut carry = number;
        for place in self.0[..LENGTH - 1].iter_mut().rev() {
            let sum = usize::from(value(*place)) + carry;
            (*place, carry) = (DIGITS[sum % 62], sum / 62);
        }
        self
    }

    /// The ids that stand in a text one behind the other.
    pub(super) fn all(text: &str) -> Result<impl Iterator<Item = Self>> {
        let ids = text.as_bytes().chunks(LENGTH);
        let ids: Result<Vec<Self>> = ids.map(|id| String::from_utf8_lossy(id).parse()).collect();
        Ok(ids?.into_iter())
    }

    /// When it was made, in ms since 1970.
    pub(super) fn made_ms(&self) -> i64 {
        let digits = &self.0[..LENGTH - 1];
        // Not every text of 21 digits is a number that an id can have.
        let number = digits
            .iter()
            .fold(0u128, |sum, digit| sum.wrapping_mul(62).wrapping_add(u128::from(value(*digit))));
        i64::try_from((number >> RANDOM_BITS) & ((1 << 48) - 1)).unwrap_or(i64::MAX)
    }

    /// When the id was made, by the server's clock as the enqueueing process knew it; of a recurring task's, for which time
    /// it was enqueued.
    pub fn time(&self) -> SystemTime {
        from_millis(self.made_ms())
    }

    /// The priority of the task, 0 to 9; higher comes first.
    pub fn priority(&self) -> u8 {
        self.0[LENGTH - 1] - b'0'
    }
}

impl FromStr for TaskId {
    type Err = Error;

    /// # Errors
    /// `Invalid` for a text that is no id.
    fn from_str(text: &str) -> Result<Self> {
        let id = <[u8; LENGTH]>::try_from(text.as_bytes()).ok();
        id.filter(|id| id.iter().all(u8::is_ascii_alphanumeric) && id[LENGTH - 1].is_ascii_digit())
            .map(Self)
            .ok_or_else(|| {
                Error::invalid("this is no id of a task: those are 22 letters and digits")
            })
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_their_time_and_tell_their_priority() {
        let (early, late) = (TaskId::new(1_000, 9), TaskId::new(1_001, 0));
        assert!(early < late && early.priority() == 9 && late.priority() == 0);
        assert_ne!(TaskId::new(1_000, 0), TaskId::new(1_000, 0));
        assert_eq!(TaskId::of(1_000, 7, 0), TaskId::of(1_000, 7, 0));
        for ms in [0, 1_000, 1_795_656_159_979, (1 << 48) - 1] {
            assert_eq!(TaskId::new(ms, 3).made_ms(), ms);
            assert_eq!(TaskId::new(ms, 3).time(), from_millis(ms));
        }
        assert_eq!(early.to_string().parse::<TaskId>().unwrap(), early);
        for bad in [
            "",
            "short",
            "123456789012345678901x",
            "12345678901234567890 1",
            "1234567890123456789012é",
        ] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ids_of_a_batch_follow_the_first() {
        let first: TaskId = "0000000000000000000zz7".parse().unwrap();
        assert_eq!(first.following(0), first);
        assert_eq!(first.following(1).as_str(), "0000000000000000001007");
        assert_eq!(first.following(999).as_str(), "0000000000000000001G67");
        assert!(first < first.following(1) && first.following(1) < first.following(2));
    }

    #[test]
    fn a_task_name_is_plain() {
        assert!(check_task_name("send_email.v2").is_ok());
        for bad in ["", "a b", "a;b", "é", &"x".repeat(65)] {
            assert!(check_task_name(bad).is_err(), "{bad}");
        }
    }
}
