//! The lines that a process prints, read while it runs.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::watch;

use super::worker::REPORT;

/// How many lines an error message shows.
const SHOWN: usize = 40;

/// Collects both streams of a process, line by line, on threads: a process that prints much is never blocked.
#[derive(Debug)]
pub(super) struct Output {
    lines: Arc<Mutex<Vec<String>>>,
    /// The number of lines; closed when both streams have ended.
    count: watch::Receiver<usize>,
    /// How many lines were passed over by `next_starting`.
    seen: usize,
}

impl Output {
    pub(super) fn read(
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> io::Result<Output> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (report, count) = watch::channel(0);
        if let Some(stream) = stdout {
            collect(stream, Arc::clone(&lines), report.clone())?;
        }
        if let Some(stream) = stderr {
            collect(stream, Arc::clone(&lines), report)?;
        }
        Ok(Output { lines, count, seen: 0 })
    }

    /// The next line that starts with `start`; `None` when the output ends without one.
    pub(super) async fn next_starting(&mut self, start: &str) -> Option<String> {
        loop {
            // Before the lines are looked at: what comes after this is a change that ends the wait below.
            let last = self.count.has_changed().is_err();
            self.count.mark_unchanged();
            {
                let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some(line) = lines.get(self.seen) {
                    self.seen += 1;
                    if line.starts_with(start) {
                        return Some(line.clone());
                    }
                }
            }
            if last {
                return None;
            }
            // An error is the end of the streams: the lines are looked at once more.
            let _ = self.count.changed().await;
        }
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    pub(super) fn last_lines(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default().join("\n")
    }
}

fn collect(
    stream: impl Read + Send + 'static,
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
) -> io::Result<()> {
    thread::Builder::new().name("russet-test-output".to_owned()).spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line);
            let line = line.strip_prefix(REPORT).unwrap_or(&line).to_owned();
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(line);
            count.send_replace(lines.len());
        }
    })?;
    Ok(())
}
