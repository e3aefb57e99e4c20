//! What `russet queue` prints: a table for people, JSON for programs.

use std::time::{Duration, SystemTime};

use russet::{DeadTask, QueueCounts, TaskState, TaskStatus};
use serde_json::{Value, json};

use crate::Failure;
use crate::http::tasks::seconds;

/// What is printed, both ways.
pub(super) struct Report {
    text: String,
    json: Value,
    is_missing: bool,
}

/// A queue of the list.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) counts: QueueCounts,
}

impl Report {
    pub(super) fn said(text: String, json: Value) -> Self {
        Self { text, json, is_missing: false }
    }

    /// What was done to a dead task, if there was one.
    pub(super) fn of_task(done: bool, what: &str) -> Self {
        if done {
            return Self::said(what.to_owned(), json!({ what: true }));
        }
        let text = "there is no dead task with this id".to_owned();
        Self { text, json: json!({ what: false }), is_missing: true }
    }

    pub(super) fn count(count: u64, what: &str) -> Self {
        Self::said(format!("{count} {what}"), json!({ what: count }))
    }

    pub(super) fn is_missing(&self) -> bool {
        self.is_missing
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            println!("{}", serde_json::to_string_pretty(&self.json)?);
        } else {
            println!("{}", self.text.trim_end());
        }
        Ok(())
    }
}

pub(super) fn queues(rows: Vec<Row>, is_complete: bool) -> Report {
    let head =
        ["queue", "ready", "scheduled", "running", "retrying", "dead", ""].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    for Row { name, counts } in &rows {
        let numbers =
            [counts.ready, counts.scheduled, counts.running, counts.retrying, counts.dead];
        let mut line = vec![shown(name)];
        line.extend(numbers.map(|number| number.to_string()));
        line.push(if counts.is_paused { "paused".to_owned() } else { String::new() });
        lines.push(line);
    }
    let mut text = table(&lines);
    if !is_complete {
        text += "not all keys were looked at: there may be more queues\n";
    }
    let queues: Vec<_> = rows
        .iter()
        .map(|Row { name, counts }| {
            let mut queue = json!({ "name": name });
            if let (Value::Object(queue), Value::Object(counts)) = (&mut queue, counted(counts)) {
                queue.extend(counts);
            }
            queue
        })
        .collect();
    Report::said(text, json!({ "queues": queues, "is_complete": is_complete }))
}

pub(super) fn counts(counts: &QueueCounts) -> Report {
    let rows = [
        ("scheduled", counts.scheduled),
        ("ready", counts.ready),
        ("running", counts.running),
        ("retrying", counts.retrying),
        ("dead", counts.dead),
        ("kept outcomes", counts.kept),
        ("completed ever", counts.completed),
        ("failed attempts ever", counts.failed),
    ];
    let lines: Vec<_> = rows.iter().map(|(what, n)| vec![(*what).into(), n.to_string()]).collect();
    let mut text = table(&lines);
    if counts.is_paused {
        text += "paused\n";
    }
    Report::said(text, counted(counts))
}

fn counted(counts: &QueueCounts) -> Value {
    json!({
        "scheduled": counts.scheduled, "ready": counts.ready, "running": counts.running,
        "retrying": counts.retrying, "dead": counts.dead, "kept": counts.kept,
        "completed": counts.completed, "failed": counts.failed, "is_paused": counts.is_paused,
    })
}

pub(super) fn dead(tasks: Vec<DeadTask>) -> Report {
    let head = ["id", "name", "attempts", "dead for", "last error"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    for task in &tasks {
        lines.push(vec![
            task.id.to_string(),
            task.name.clone(),
            task.attempts.to_string(),
            ago(task.since),
            task.errors.last().map_or_else(String::new, |error| shown(&error.message)),
        ]);
    }
    let text = if tasks.is_empty() { "no dead tasks".to_owned() } else { table(&lines) };
    let json: Vec<_> = tasks
        .iter()
        .map(|task| {
            json!({
                "id": task.id.to_string(), "name": task.name, "attempts": task.attempts,
                "since": seconds(task.since), "body": body(&task.body), "errors": errors(&task.errors),
            })
        })
        .collect();
    Report::said(text, Value::Array(json))
}

pub(super) fn task(status: Option<TaskStatus>) -> Report {
    let Some(status) = status else {
        let text = "there is no task with this id, or nothing is kept of it".to_owned();
        return Report { text, json: Value::Null, is_missing: true };
    };
    let (state, at) = match status.state {
        TaskState::Scheduled { due } => ("scheduled", Some(due)),
        TaskState::Ready => ("ready", None),
        TaskState::Running { .. } => ("running", None),
        TaskState::Retrying { due } => ("retrying", Some(due)),
        TaskState::Completed { at } => ("completed", Some(at)),
        TaskState::Dead { since } => ("dead", Some(since)),
        TaskState::Cancelled { at } => ("cancelled", Some(at)),
    };
    let fence = match status.state {
        TaskState::Running { fence } => Some(fence),
        _ => None,
    };
    let mut lines = vec![
        vec!["id".to_owned(), status.id.to_string()],
        vec!["name".to_owned(), status.name.clone()],
        vec![
            "state".to_owned(),
            at.map_or(state.to_owned(), |at| format!("{state}, {}", when(at))),
        ],
        vec!["attempts".to_owned(), status.attempts.to_string()],
    ];
    if let Some(fence) = fence {
        lines.push(vec!["fence".to_owned(), fence.to_string()]);
    }
    let result = status.result.as_deref().map(body);
    if let Some(result) = &result {
        lines.push(vec!["result".to_owned(), shown(&result.to_string())]);
    }
    for error in &status.errors {
        let line = format!("attempt {}, {}: {}", error.attempt, when(error.at), error.message);
        lines.push(vec!["error".to_owned(), shown(&line)]);
    }
    let json = json!({
        "id": status.id.to_string(), "name": status.name, "state": state, "at": at.map(seconds), "fence": fence,
        "attempts": status.attempts, "errors": errors(&status.errors), "result": result,
    });
    Report::said(table(&lines), json)
}

fn errors(errors: &[russet::TaskError]) -> Vec<Value> {
    let error = |error: &russet::TaskError| json!({ "at": seconds(error.at), "attempt": error.attempt, "error": error.message });
    errors.iter().map(error).collect()
}

/// JSON as it is, and what is none as text.
fn body(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// What others have written, without what would move the terminal's cursor.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Columns as wide as what is in them; those of numbers stand to the right.
fn table(lines: &[Vec<String>]) -> String {
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

fn ago(since: SystemTime) -> String {
    spoken(SystemTime::now().duration_since(since).unwrap_or_default())
}

/// How long ago, or in how long.
fn when(time: SystemTime) -> String {
    match SystemTime::now().duration_since(time) {
        Ok(past) => format!("{} ago", spoken(past)),
        Err(future) => format!("in {}", spoken(future.duration())),
    }
}

fn spoken(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

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
}
