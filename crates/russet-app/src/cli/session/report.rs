//! What `russet session` prints.

use russet::{Activity, EndedEntry, SessionInfo, SignedOut};
use serde_json::{Value, json};

use crate::cli::report::{Report, shown, table, when};
use crate::http::tasks::seconds;

pub(super) fn sessions(sessions: &[SessionInfo]) -> Report {
    let head = ["id", "made", "last used", "ends", "address", "device", "roles"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for one in sessions {
        lines.push(vec![
            one.id.to_string(),
            when(one.created),
            when(one.last_seen),
            when(one.ends),
            one.last_ip.map_or_else(String::new, |ip| ip.to_string()),
            short(&one.user_agent),
            shown(&one.roles.join(" ")),
        ]);
    }
    let text = if sessions.is_empty() { "no session".to_owned() } else { table(&lines) };
    Report::said(text, sessions.iter().map(value).collect())
}

pub(super) fn session(session: Option<&SessionInfo>) -> Report {
    let Some(one) = session else { return missing(Value::Null) };
    let address = |ip: Option<std::net::IpAddr>| ip.map_or_else(String::new, |ip| ip.to_string());
    let apps = one.apps.iter().map(|app| shown(&app.app)).collect::<Vec<_>>();
    let lines = [
        ("id", one.id.to_string()),
        ("user", shown(&one.user)),
        ("roles", shown(&one.roles.join(" "))),
        ("made", when(one.created)),
        ("from", address(one.ip)),
        ("last used", when(one.last_seen)),
        ("last from", address(one.last_ip)),
        ("idle", when(one.idle_until)),
        ("ends", when(one.ends)),
        ("device", shown(&one.user_agent)),
        ("applications", apps.join(" ")),
    ];
    let lines: Vec<_> =
        lines.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    Report::said(table(&lines), value(one))
}

pub(super) fn revoked(ended: SignedOut) -> Report {
    match ended {
        SignedOut::Done { .. } => Report::said("revoked".to_owned(), json!({ "revoked": true })),
        SignedOut::Unknown => missing(json!({ "revoked": false })),
    }
}

pub(super) fn revoked_everywhere() -> Report {
    let text = "every session of this user is ended".to_owned();
    Report::said(text, json!({ "revoked": true }))
}

pub(super) fn log(entries: &[EndedEntry]) -> Report {
    let head = ["when", "user", "id", "why", "last used", "application"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for entry in entries {
        lines.push(vec![
            when(entry.at),
            shown(&entry.user),
            entry.id.to_string(),
            entry.reason.word().to_owned(),
            when(entry.last_seen),
            entry.app.as_deref().map_or_else(String::new, shown),
        ]);
    }
    let text = if entries.is_empty() { "no session has ended".to_owned() } else { table(&lines) };
    let entry = |entry: &EndedEntry| {
        json!({
            "at": seconds(entry.at), "id": entry.id.to_string(), "user": entry.user, "app": entry.app,
            "reason": entry.reason.word(), "last_seen": seconds(entry.last_seen),
        })
    };
    Report::said(text, entries.iter().map(entry).collect())
}

pub(super) fn activity(entries: &[Activity]) -> Report {
    let head = ["when", "what", "user", "id", "address", "device"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for entry in entries {
        lines.push(vec![
            when(entry.at),
            shown(&entry.what),
            entry.user.as_deref().map_or_else(String::new, shown),
            entry.id.to_string(),
            entry.ip.as_deref().map_or_else(String::new, shown),
            short(&entry.user_agent),
        ]);
    }
    let text = if entries.is_empty() { "nothing suspicious".to_owned() } else { table(&lines) };
    let entry = |entry: &Activity| {
        json!({
            "at": seconds(entry.at), "what": entry.what, "id": entry.id.to_string(), "user": entry.user,
            "ip": entry.ip, "user_agent": entry.user_agent,
        })
    };
    Report::said(text, entries.iter().map(entry).collect())
}

fn missing(json: Value) -> Report {
    Report::missing("this user has no such session".to_owned(), json)
}

fn value(one: &SessionInfo) -> Value {
    let apps = one.apps.iter().map(|app| json!({ "app": app.app, "id": app.id.to_string() }));
    json!({
        "id": one.id.to_string(), "user": one.user, "roles": one.roles, "created": seconds(one.created),
        "last_seen": seconds(one.last_seen), "idle_until": seconds(one.idle_until), "ends": seconds(one.ends),
        "ip": one.ip, "last_ip": one.last_ip, "user_agent": one.user_agent, "app": one.app,
        "apps": apps.collect::<Vec<_>>(),
    })
}

/// The beginning, for a column.
fn short(agent: &str) -> String {
    const LONGEST: usize = 40;
    let text = shown(agent);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => [&text[..end], "…"].concat(),
        None => text,
    }
}
