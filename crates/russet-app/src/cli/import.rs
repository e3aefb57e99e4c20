//! Reading a CSV file line by line, for what is imported in batches. A bad line is told by its number and left out; nothing is
//! kept but the batch that is read, the one that is written, and the first bad lines.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{Timestamp, civil, tz::TimeZone};
use russet::ErrorKind;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::report::{Report, moment};
use crate::Failure;

/// How many lines are written at once: as many as the library takes.
const BATCH: usize = 1_000;

/// So many bad lines are told one by one; the others are counted.
const MOST_TOLD: usize = 100;

/// Some lines were left out.
const BAD_LINES: u8 = 4;

/// Which file, and what its columns are.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The CSV file; - for what comes in at the standard input
    file: PathBuf,

    /// The column of the times: 2026-12-24T18:00:00+08:00, seconds since 1970, or a date or date and time of the time zone
    #[arg(long, value_name = "COLUMN", default_value = "timestamp")]
    timestamp_column: String,

    /// The column of the names
    #[arg(long, value_name = "COLUMN", default_value = "name")]
    name_column: String,

    /// The column of the values. Without it in the file, each line counts 1
    #[arg(long, value_name = "COLUMN", default_value = "value")]
    value_column: String,

    /// The file has no line of column names: timestamp, name and value in this order
    #[arg(long, conflicts_with_all = ["timestamp_column", "name_column", "value_column"])]
    no_header: bool,
}

/// A file whose columns are known.
pub(super) struct Opened {
    reader: Reader<Box<dyn Read + Send>>,
    columns: Columns,
    bar: ProgressBar,
}

/// Where in a line each column is.
#[derive(Clone, Copy)]
struct Columns {
    timestamp: usize,
    name: usize,
    value: Option<usize>,
}

/// The columns of a line, as they are.
pub(super) struct Row<'a> {
    pub(super) timestamp: &'a str,
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

/// Lines that were read: by number what is good, and what is wrong with the others.
struct Batch<T> {
    good: Vec<(u64, T)>,
    bad: Vec<(u64, String)>,
    bytes: u64,
}

/// What became of the lines.
#[derive(Default)]
pub(super) struct Imported {
    imported: u64,
    bad_lines: u64,
    told: Vec<(u64, String)>,
}

impl Source {
    /// Opens the file and reads its header.
    pub(super) fn open(&self) -> Result<Opened, String> {
        let name = self.file.display();
        let cannot = |error: io::Error| format!("{name} cannot be read: {error}");
        let bar;
        let input: Box<dyn Read + Send> = if self.file.as_os_str() == "-" {
            bar = ProgressBar::new_spinner();
            Box::new(io::stdin())
        } else {
            let file = File::open(&self.file).map_err(cannot)?;
            let length = file.metadata().map_err(cannot)?.len();
            bar = ProgressBar::new(length);
            bar.set_style(
                ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg} {eta}")
                    .map_err(|error| error.to_string())?,
            );
            Box::new(file)
        };
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // Of a line that ends with both, the other one would be taken for a part of the next, and its number be wrong.
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(1 << 16)
            .from_reader(input);
        let columns = if self.no_header {
            Columns { timestamp: 0, name: 1, value: Some(2) }
        } else {
            let mut header = ByteRecord::new();
            reader.read_byte_record(&mut header).map_err(|error| format!("{name}: {error}"))?;
            self.columns(&header).map_err(|error| format!("{name}: {error}"))?
        };
        Ok(Opened { reader, columns, bar })
    }

    fn columns(&self, header: &ByteRecord) -> Result<Columns, String> {
        // A mark that some programs put before the first one.
        let names: Vec<_> = header
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').to_owned())
            .collect();
        let find = |column: &str| names.iter().position(|name| name.trim() == column);
        let needed = |column: &str| {
            find(column).ok_or_else(|| {
                format!("there is no column {column:?} in its first line: {}", names.join(","))
            })
        };
        let value = match find(&self.value_column) {
            None if self.value_column != "value" => Some(needed(&self.value_column)?),
            found => found,
        };
        let (timestamp, name) = (needed(&self.timestamp_column)?, needed(&self.name_column)?);
        Ok(Columns { timestamp, name, value })
    }
}

impl Opened {
    /// Reads all lines, on a thread of its own, and writes them batch by batch, in their order. `write` answers what is wrong
    /// with lines that it did not write, and fails when it cannot go on.
    pub(super) async fn import<T: Send + 'static>(
        self,
        parse: impl Fn(&Row<'_>) -> Result<T, String> + Send + 'static,
        mut write: impl AsyncFnMut(Vec<(u64, T)>) -> Result<Vec<(u64, String)>, Failure>,
    ) -> Result<Imported, Failure> {
        let bar = self.bar.clone();
        let (sender, mut batches) = mpsc::channel(2);
        // Not a thread that the runtime waits for: the standard input may never end.
        std::thread::spawn(move || self.read(&parse, &sender));
        let mut imported = Imported::default();
        while let Some(batch) = batches.recv().await {
            let Batch { good, mut bad, bytes } =
                batch.map_err(|error| format!("{error}; before that {}", imported.said()))?;
            let (count, first) = (good.len() as u64, good.first().map(|(line, _)| *line));
            let refused = write(good).await.map_err(|error| {
                let first = first.unwrap_or_default();
                format!("{error}; the lines before line {first} are imported, {}", imported.said())
            })?;
            imported.imported += count - refused.len() as u64;
            bad.extend(refused);
            bad.sort_unstable_by_key(|(line, _)| *line);
            imported.note(bad);
            bar.set_position(bytes);
            bar.set_message(format!("{} lines", imported.imported + imported.bad_lines));
        }
        bar.finish_and_clear();
        Ok(imported)
    }

    /// Ends early when nobody takes the batches any more.
    fn read<T>(
        mut self,
        parse: &impl Fn(&Row<'_>) -> Result<T, String>,
        sender: &mpsc::Sender<Result<Batch<T>, csv::Error>>,
    ) {
        let mut record = ByteRecord::new();
        loop {
            let mut batch = Batch { good: Vec::new(), bad: Vec::new(), bytes: 0 };
            let mut is_over = Ok(false);
            while batch.good.len() < BATCH && batch.bad.len() < BATCH {
                match self.reader.read_byte_record(&mut record) {
                    Ok(true) => {}
                    end => {
                        is_over = end.map(|_| true);
                        break;
                    }
                }
                if record.len() == 1 && record[0].trim_ascii().is_empty() {
                    continue;
                }
                let line = record.position().map_or(0, csv::Position::line);
                match self.columns.row(&record).and_then(|row| parse(&row)) {
                    Ok(item) => batch.good.push((line, item)),
                    Err(error) => batch.bad.push((line, error)),
                }
            }
            batch.bytes = self.reader.position().byte();
            let is_taken = sender.blocking_send(Ok(batch)).is_ok();
            match is_over {
                Ok(false) if is_taken => {}
                Ok(_) => return,
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            }
        }
    }
}

impl Columns {
    fn row<'a>(&self, record: &'a ByteRecord) -> Result<Row<'a>, String> {
        let field = |column: usize, what: &str| {
            let bytes = record.get(column).ok_or_else(|| format!("there is no {what}"))?;
            let is_last = column + 1 == record.len();
            let bytes = bytes.strip_suffix(b"\r").filter(|_| is_last).unwrap_or(bytes);
            std::str::from_utf8(bytes).map_err(|_| format!("the {what} is not UTF-8"))
        };
        Ok(Row {
            timestamp: field(self.timestamp, "timestamp")?.trim(),
            name: field(self.name, "name")?,
            value: self.value.map_or(Ok("1"), |column| field(column, "value"))?.trim(),
        })
    }
}

impl Imported {
    fn note(&mut self, bad: Vec<(u64, String)>) {
        for (line, error) in bad {
            self.bad_lines += 1;
            if self.told.len() < MOST_TOLD {
                self.told.push((line, error));
            }
        }
    }

    fn said(&self) -> String {
        let Self { imported, bad_lines, .. } = self;
        format!("{imported} lines were imported, {bad_lines} are bad")
    }

    /// What is printed, with more of what was imported.
    pub(super) fn report(self, more: &str, json: Value) -> Report {
        let mut text = self.said() + more;
        for (line, error) in &self.told {
            text += &format!("\nline {line}: {error}");
        }
        let untold = self.bad_lines - self.told.len() as u64;
        if untold > 0 {
            text += &format!("\nand {untold} more");
        }
        let told: Vec<_> =
            self.told.iter().map(|(line, error)| json!({ "line": line, "error": error })).collect();
        let mut report = json!({
            "imported": self.imported, "bad_lines": self.bad_lines, "bad": told,
        });
        if let (Some(report), Value::Object(json)) = (report.as_object_mut(), json) {
            report.extend(json);
        }
        match self.bad_lines {
            0 => Report::said(text, report),
            _ => Report::refused(text, report, BAD_LINES),
        }
    }
}

/// What is wrong with each line of a batch that the library refused as a whole: each is tried by itself.
pub(super) async fn one_by_one<T>(
    batch: Vec<(u64, T)>,
    mut write: impl AsyncFnMut(T) -> russet::Result<()>,
) -> Result<Vec<(u64, String)>, Failure> {
    let mut refused = Vec::new();
    for (line, item) in batch {
        match write(item).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Invalid => {
                refused.push((line, error.to_string()));
            }
            Err(error) => return Err(format!("line {line}: {error}").into()),
        }
    }
    Ok(refused)
}

/// Reads a time with its zone, seconds since 1970, or a date or date and time of a zone.
pub(super) fn time_in(zone: &TimeZone, text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = moment(text) {
        return Ok(time);
    }
    let local = || {
        let local = text.parse::<civil::DateTime>().map_err(|_| {
            format!("{text:?} is no time such as 2026-12-24T18:00:00+08:00, 2026-12-24 18:00, or seconds since 1970")
        })?;
        zone.to_timestamp(local).map_err(|error| error.to_string())
    };
    let time = text.parse::<Timestamp>().or_else(|_| local())?;
    Some(SystemTime::from(time))
        .filter(|time| *time >= SystemTime::UNIX_EPOCH)
        .ok_or_else(|| format!("{text:?} is before 1970"))
}

/// The zone of that name.
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("{name:?} is no time zone such as Asia/Shanghai"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_of_the_given_one() {
        let shanghai = zone("Asia/Shanghai").unwrap();
        let expected = moment("2026-12-24T18:00:00+08:00").unwrap();
        for text in [
            "2026-12-24T18:00:00+08:00",
            "2026-12-24T10:00:00Z",
            "1798106400",
            "2026-12-24 18:00",
            "2026-12-24T18:00:00",
        ] {
            assert_eq!(time_in(&shanghai, text).unwrap(), expected, "{text}");
        }
        assert_eq!(
            time_in(&shanghai, "2026-12-24").unwrap(),
            moment("2026-12-23T16:00:00Z").unwrap()
        );
        for wrong in ["", "yesterday", "24.12.2026", "1950-01-01", "2026-13-01", "-5"] {
            assert!(time_in(&shanghai, wrong).is_err(), "{wrong}");
        }
    }
}
