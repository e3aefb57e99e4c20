//! How a recurring task stands in Redis: `V1;field=value;field=value <record of the task>`.
//!
//! The digit is the version. A reader skips the fields that it does not know. Those of version 1, in this order the first
//! two, which scripts replace: `due` when its next tick is, 0 while it is paused, and `last` for which time it was enqueued
//! last, 0 for never; then `from` when it began, `cron` and `zone`, or `every` in ms; `missed`, `jitter` in ms, `p` the
//! priority, `alone` when no two of its tasks are there at a time. Times are ms since 1970.

use std::{fmt::Write as _, time::Duration};

use percent_encoding::percent_decode_str;

use super::{missed::Missed, timetable::Timetable};
use crate::{
    error::{Error, Result},
    names::encode,
    queue::{record::Record, scripts::millis},
};

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) due: i64,
    pub(super) last: i64,
    pub(super) from: i64,
    pub(super) times: Timetable,
    pub(super) missed: Missed,
    pub(super) jitter: Duration,
    pub(super) priority: u8,
    pub(super) is_alone: bool,
    /// What is enqueued, as it stands there.
    pub(super) task: Vec<u8>,
}

impl Entry {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut head = String::from("V1");
        // Writing to a text does not fail.
        let _ = write!(head, ";due={};last={};from={}", self.due, self.last, self.from);
        for (field, value) in self.times.write() {
            let _ = write!(head, ";{field}={}", encode(&value));
        }
        let _ = write!(head, ";missed={}", self.missed.write());
        if !self.jitter.is_zero() {
            let _ = write!(head, ";jitter={}", millis(self.jitter));
        }
        if self.priority != 0 {
            let _ = write!(head, ";p={}", self.priority);
        }
        if self.is_alone {
            head.push_str(";alone=1");
        }
        head.push(' ');
        let mut entry = head.into_bytes();
        entry.extend_from_slice(&self.task);
        entry
    }

    /// # Errors
    /// `Codec` for one of another version, `Invalid` for one whose times this program cannot reckon.
    pub(super) fn read(name: &str, entry: &[u8]) -> Result<Self> {
        let unreadable = || {
            let why = "another version of russet wrote what stands there".into();
            Error::codec(format_args!("the recurring task {name:?}"), why)
        };
        let end = entry.iter().position(|byte| *byte == b' ').ok_or_else(unreadable)?;
        let head = std::str::from_utf8(&entry[..end]).map_err(|_| unreadable())?;
        let fields = head.strip_prefix("V1").ok_or_else(unreadable)?;
        let task = entry[end + 1..].to_vec();
        let text = |name: &str| {
            let mut fields = fields.split(';').filter_map(|field| field.split_once('='));
            fields.find_map(|(field, value)| (field == name).then_some(value))
        };
        let number = |name| text(name).map(str::parse).transpose().map_err(|_| unreadable());
        let decoded = |text| percent_decode_str(text).decode_utf8().map_err(|_| unreadable());
        let from = number("from")?.unwrap_or(0);
        let times = match (text("every"), text("cron")) {
            (Some(ms), _) => {
                let interval = Duration::from_millis(ms.parse().map_err(|_| unreadable())?);
                Timetable::since(interval, from)
            }
            (None, Some(cron)) => {
                let zone = decoded(text("zone").unwrap_or_default())?;
                Timetable::cron(&decoded(cron)?, &zone)?
            }
            (None, None) => return Err(unreadable()),
        };
        Record::read(task.clone()).ok_or_else(unreadable)?;
        Ok(Self {
            due: number("due")?.ok_or_else(unreadable)?,
            last: number("last")?.ok_or_else(unreadable)?,
            from,
            times,
            missed: text("missed").and_then(Missed::read).ok_or_else(unreadable)?,
            jitter: Duration::from_millis(number("jitter")?.unwrap_or(0).unsigned_abs()),
            priority: text("p").map_or(Ok(0), str::parse).map_err(|_| unreadable())?,
            is_alone: text("alone").is_some(),
            task,
        })
    }

    /// Whether both come at the same times.
    pub(super) fn has_times_of(&self, other: &Self) -> bool {
        self.times.write() == other.times.write()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entry(times: Timetable) -> Entry {
        let record = Record {
            name: "report".into(),
            max_attempts: 3,
            body: Bytes::from_static(b"{\"a\": \";due=1 \"}"),
            ..Record::default()
        };
        Entry {
            due: 1_795_656_159_979,
            last: 0,
            from: 7,
            times,
            missed: Missed::RunAll { at_most: 5 },
            jitter: Duration::from_millis(1_500),
            priority: 9,
            is_alone: true,
            task: record.write(),
        }
    }

    #[test]
    fn an_entry_comes_back() {
        let cron = Timetable::cron("0 8 * * MON-FRI", "Asia/Shanghai").unwrap();
        for times in [cron, Timetable::since(Duration::from_secs(5), 7)] {
            let entry = entry(times);
            let read = Entry::read("report", &entry.write()).unwrap();
            assert_eq!(read.write(), entry.write());
            assert_eq!(format!("{read:?}"), format!("{entry:?}"));
        }
    }

    #[test]
    fn a_plain_one_is_short() {
        let every = Timetable::since(Duration::from_secs(5), 0);
        let plain = Entry {
            missed: Missed::RunOnce,
            jitter: Duration::ZERO,
            priority: 0,
            is_alone: false,
            task: b"V1 report {}".to_vec(),
            ..entry(every)
        };
        let text = "V1;due=1795656159979;last=0;from=7;every=5000;missed=once V1 report {}";
        assert_eq!(String::from_utf8(plain.write()).unwrap(), text);
    }

    #[test]
    fn another_version_is_told_and_unknown_fields_are_skipped() {
        let known = "V1;due=1;last=0;from=7;every=5000;missed=once;new=x V1 report {}";
        assert_eq!(Entry::read("report", known.as_bytes()).unwrap().due, 1);
        for unknown in [
            "V2;due=1 V1 report {}",
            "V1;due=1;last=0;missed=once V1 report {}",
            "V1;due=x;last=0;every=5000;missed=once V1 report {}",
            "V1;due=1;last=0;every=5000;missed=once V9 report {}",
            "V1;due=1;last=0;every=5000;missed=never V1 report {}",
            "V1",
        ] {
            let error = Entry::read("report", unknown.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Codec, "{unknown}");
            assert!(error.to_string().contains("\"report\""), "{error}");
        }
        let zone = "V1;due=1;last=0;cron=@daily;zone=Mars%2FOlympus;missed=once V1 report {}";
        assert!(Entry::read("report", zone.as_bytes()).is_err());
    }
}
