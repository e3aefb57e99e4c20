use crate::{
    calendar::Unit,
    keys::{Part, counters as keys},
};

/// How long the buckets of a count are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Granularity {
    /// A minute of UTC, the same in every time zone.
    Minute,
    /// An hour of the group's time zone. The hour that the end of daylight saving repeats is two buckets.
    Hour,
    /// A day of the group's time zone, 23 or 25 hours long when daylight saving changes.
    Day,
    /// A month of the group's time zone.
    Month,
}

impl Granularity {
    /// All four, the shortest first.
    pub const ALL: [Granularity; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Minute => Unit::Minute,
            Self::Hour => Unit::Hour,
            Self::Day => Unit::Day,
            Self::Month => Unit::Month,
        }
    }

    /// The key of the bucket with this label.
    pub(super) fn part(self, label: &str) -> Part {
        match self {
            Self::Minute => keys::minute(label),
            Self::Hour => keys::hour(label),
            Self::Day => keys::day(label),
            Self::Month => keys::month(label),
        }
    }
}
