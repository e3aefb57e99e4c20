use std::{fmt, str::FromStr};

use crate::{
    error::{Advice, Error, ErrorKind, Result},
    id::Id,
    lock::scripts::MOST_ENTRIES,
};

/// Who holds a [`ReentrantLock`](super::ReentrantLock): 128 random bits that a guard can name to another process, which may then
/// enter. Whoever knows it can enter: pass it on as one passes on a secret. It is written as 32 hexadecimal digits, and not
/// shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Owner(Id);

impl Owner {
    pub(super) fn new(id: Id) -> Self {
        Self(id)
    }

    pub(super) fn id(&self) -> Id {
        self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Owner {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let id = Id::read(text);
        id.map(Self).ok_or_else(|| Error::invalid("an owner is written as 32 hexadecimal digits"))
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner(..)")
    }
}

pub(super) fn too_deep(object: &str) -> Error {
    let message = format_args!("{object} was entered {MOST_ENTRIES} times and not given back");
    Error::new(ErrorKind::Refused, Advice::Bug, message)
}
