//! What `russet schedule` prints.

use russet::{RecurringTask, Registered, TaskDetails};
use serde_json::{Value, json};

use super::missed;
use crate::cli::report::{Report, body, shown, table, when};
use crate::http::tasks::{place, seconds};

pub(super) fn list(
    recurring: &[RecurringTask],
    tasks: &[TaskDetails],
    is_complete: bool,
) -> Report {
    let head = ["what", "task", "next", "last", "times"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    for entry in recurring {
        lines.push(vec![
            shown(&entry.name),
            shown(&entry.task),
            entry.next.map_or("paused".to_owned(), when),
            entry.last.map_or_else(String::new, when),
            shown(&entry.times.to_string()),
        ]);
    }
    let due = |task: &TaskDetails| place(task.status.state).1;
    for task in tasks {
        let next = due(task).map_or_else(String::new, when);
        let (id, name) = (task.status.id.to_string(), shown(&task.status.name));
        lines.push(vec![id, name, next, String::new(), "once".to_owned()]);
    }
    let mut text = if lines.len() == 1 { "nothing is scheduled".to_owned() } else { table(&lines) };
    if !is_complete {
        text += "there may be more: --limit\n";
    }
    let recurring: Vec<_> = recurring
        .iter()
        .map(|entry| {
            json!({
                "name": entry.name, "task": entry.task, "body": body(&entry.body), "times": entry.times.to_string(),
                "missed": missed::shown(entry.missed), "next": entry.next.map(seconds), "last": entry.last.map(seconds),
            })
        })
        .collect();
    let tasks: Vec<_> = tasks
        .iter()
        .map(|task| {
            json!({
                "id": task.status.id.to_string(), "task": task.status.name, "body": body(&task.body),
                "at": due(task).map(seconds),
            })
        })
        .collect();
    Report::said(
        text,
        json!({ "recurring": recurring, "tasks": tasks, "is_complete": is_complete }),
    )
}

pub(super) fn registered(name: &str, registered: &Registered) -> Report {
    let next = registered.next.map_or("paused".to_owned(), |next| format!("next {}", when(next)));
    let before = if registered.is_new { "" } else { " (it was there before)" };
    let next_at = registered.next.map(seconds);
    let json = json!({ "name": name, "is_new": registered.is_new, "next": next_at });
    Report::said(format!("{}, {next}{before}", shown(name)), json)
}

/// What recurs no more.
pub(super) fn ended() -> Report {
    Report::said("ended".to_owned(), json!({ "what": "recurring", "state": "ended" }))
}

/// What recurs and is not due until it is resumed.
pub(super) fn paused(name: &str, is_new: bool) -> Report {
    changed(name, "paused", is_new)
}

/// What recurs again.
pub(super) fn resumed(name: &str, is_new: bool) -> Report {
    changed(name, "resumed", is_new)
}

fn changed(name: &str, state: &str, is_new: bool) -> Report {
    let before = if is_new { "" } else { " (it was so before)" };
    let json = json!({ "what": "recurring", "name": name, "state": state, "is_new": is_new });
    Report::said(format!("{state}{before}"), json)
}

/// A task that has another time.
pub(super) fn rescheduled() -> Report {
    let text = "it waits for its new time".to_owned();
    Report::said(text, json!({ "what": "task", "state": "scheduled" }))
}

/// A task that does not wait, and has no other time.
pub(super) fn no_more(state: &str, text: &str) -> Report {
    Report::missing(format!("too late: {text}"), json!({ "what": "task", "state": state }))
}

/// A task that will not run.
pub(super) fn cancelled() -> Report {
    Report::said("cancelled".to_owned(), json!({ "what": "task", "state": "cancelled" }))
}

/// A task that runs.
pub(super) fn asked() -> Report {
    let text = "it runs, and was asked to end".to_owned();
    Report::said(text, json!({ "what": "task", "state": "running" }))
}

pub(super) fn unknown(what: &str) -> Report {
    Report::missing(format!("there is no such task: {}", shown(what)), Value::Null)
}
