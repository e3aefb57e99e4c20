//! What operators' commands print: a table for people, JSON for programs.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::Failure;

/// What a command says when there is nothing of this id or name.
const NO_SUCH: u8 = 3;

/// What is printed, both ways.
pub(super) struct Report {
    text: String,
    json: Value,
    exit: u8,
}

impl Report {
    pub(super) fn said(text: String, json: Value) -> Self {
        Self { text, json, exit: 0 }
    }

    /// There is nothing of this id or name.
    pub(super) fn missing(text: String, json: Value) -> Self {
        Self { text, json, exit: NO_SUCH }
    }

    /// It was not done, or not all of it, for a reason that this exit code stands for.
    pub(super) fn refused(text: String, json: Value, exit: u8) -> Self {
        Self { text, json, exit }
    }

    /// What was done to a dead task, if there was one.
    pub(super) fn of_task(done: bool, what: &str) -> Self {
        if done {
            return Self::said(what.to_owned(), json!({ what: true }));
        }
        Self::missing("there is no dead task with this id".to_owned(), json!({ what: false }))
    }

    pub(super) fn count(count: u64, what: &str) -> Self {
        Self::said(format!("{count} {what}"), json!({ what: count }))
    }

    /// A task that was put on a queue.
    pub(super) fn put(put: &russet::Enqueued) -> Self {
        let text = if put.is_new { "" } else { " (it was there before)" };
        let json = json!({"id": put.id.to_string(), "is_new": put.is_new});
        Self::said(format!("{}{text}", put.id), json)
    }

    /// Prints it; the exit code tells whether it was done.
    pub(super) fn print(&self, as_json: bool) -> Result<ExitCode, Failure> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(&self.json)?);
        } else {
            println!("{}", self.text.trim_end());
        }
        Ok(ExitCode::from(self.exit))
    }
}

/// JSON as it is, and what is none as text.
pub(super) fn body(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// What others have written, without what would move the terminal's cursor.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Columns as wide as what is in them; those of numbers stand to the right.
pub(super) fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        lines.iter().filter_map(|line| Some(line.get(column)?.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numeric: Vec<_> = (0..columns)
        .map(|column| {
            lines.iter().skip(1).any(|line| line.get(column).is_some_and(|cell| is_number(cell)))
        })
        .collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).zip(&numeric).map(|((cell, width), numeric)| {
            let space = " ".repeat(width - cell.chars().count());
            if *numeric { format!("{space}{cell}") } else { format!("{cell}{space}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// How long ago, or in how long.
pub(super) fn when(time: SystemTime) -> String {
    match SystemTime::now().duration_since(time) {
        Ok(past) => format!("{} ago", spoken(past)),
        Err(future) => format!("in {}", spoken(future.duration())),
    }
}

pub(super) fn spoken(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Reads a time such as `90`, `90s`, `15m`, `12h` or `7d`, up to a year.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    time(text, 366)
}

/// Reads a time of at most so many days; `y` are years of 365 days.
pub(super) fn time(text: &str, most_days: u64) -> Result<Duration, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        "y" => Some(365 * 86_400),
        _ => None,
    };
    let seconds =
        factor.zip(number.parse::<u64>().ok()).and_then(|(factor, n)| n.checked_mul(factor));
    match seconds {
        Some(seconds) if seconds <= most_days * 86_400 => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(format!("expected at most {most_days}d")),
        None => Err("expected seconds, or a number of s, m, h or d, such as 7d".to_owned()),
    }
}

/// Reads a time such as `2026-12-24T18:00:00+08:00`, or seconds since 1970.
pub(super) fn moment(text: &str) -> Result<SystemTime, String> {
    let seconds = text.parse().ok().filter(|seconds: &u64| *seconds < 253_402_300_800);
    let time = seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    time.or_else(|| Some(text.parse::<jiff::Timestamp>().ok()?.into()))
        .filter(|time| *time >= UNIX_EPOCH)
        .ok_or_else(|| {
            "expected a time with its zone, such as 2026-12-24T18:00:00+08:00, or seconds since 1970"
                .to_owned()
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let lines = [["queue", "ready", ""], ["mail", "7", "paused"], ["邮件", "1200", ""]];
        let lines = lines.map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(table(&lines), "queue  ready\nmail       7  paused\n邮件      1200\n");
    }

    #[test]
    fn what_others_wrote_moves_no_cursor() {
        assert_eq!(shown("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(spoken(Duration::from_secs(119)), "119 s");
        assert_eq!(spoken(Duration::from_secs(7_199)), "119 min");
        assert_eq!(spoken(Duration::from_secs(86_400 * 3)), "3 d");
        assert_eq!(when(UNIX_EPOCH).split(' ').nth(1), Some("d"));
    }

    #[test]
    fn an_age_has_a_unit_and_an_end() {
        for (text, seconds) in
            [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("1y", 31_536_000)]
        {
            assert_eq!(age(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for wrong in ["", "d", "-1", "1.5h", "1w", "367d", "99999999999999999999"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_has_its_zone() {
        let christmas = UNIX_EPOCH + Duration::from_secs(1_798_106_400);
        for text in ["2026-12-24T18:00:00+08:00", "2026-12-24T10:00:00Z", "1798106400"] {
            assert_eq!(moment(text).unwrap(), christmas, "{text}");
        }
        for wrong in ["", "tomorrow", "2026-12-24T18:00:00", "-1", "1950-01-01T00:00:00Z", "1e30"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
