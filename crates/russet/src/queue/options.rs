//! What a call may say of the tasks that it enqueues, be it one or a batch.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Inner, Task, TaskId,
    builder::{check_attempts, check_time},
    record::Record,
    scripts::When,
    task::check_task_name,
};
use crate::{
    error::{Error, Result},
    names::check_length,
};

/// What a task carries beside its body, by name.
pub(super) type Headers = BTreeMap<String, String>;

/// The most headers of a task, and the longest name and value in bytes.
const MOST_HEADERS: usize = 16;
const LONGEST_HEADER_NAME: usize = 64;
const LONGEST_HEADER: usize = 1_024;

#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) when: When,
    pub(super) priority: u8,
    pub(super) max_attempts: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) keep_result: Option<Duration>,
    pub(super) headers: Headers,
}

impl Options {
    /// A record for tasks of this kind, with all but its body; refuses what is out of its range.
    pub(super) fn record<T: Task>(&self, inner: &Inner) -> Result<Record> {
        check_task_name(T::NAME)?;
        if self.priority > 9 {
            return Err(Error::invalid(format_args!(
                "queue {}: the priority must be 0 to 9, not {}",
                inner.name, self.priority
            )));
        }
        let brief = Duration::from_millis(1);
        check_time("the delay", Some(self.when.delay), Duration::ZERO)?;
        check_time("the timeout", self.timeout, brief)?;
        check_time("keep_result", self.keep_result, brief)?;
        let max_attempts = self.max_attempts.unwrap_or(inner.settings.max_attempts);
        check_attempts(max_attempts)?;
        check_headers(&self.headers)?;
        Ok(Record {
            name: T::NAME.to_owned(),
            max_attempts,
            timeout: self.timeout.or(inner.settings.task_timeout),
            keep_result: self.keep_result.or(inner.settings.keep_results),
            headers: self.headers.clone(),
            ..Record::default()
        })
    }

    /// A new id, and how long after it was made the task is to be ready.
    pub(super) fn id(&self, inner: &Inner) -> (TaskId, Duration) {
        let now = inner.russet.clock().now_ms();
        let until = u64::try_from(self.when.at.saturating_sub(now)).unwrap_or_default();
        let delay = self.when.delay.max(Duration::from_millis(until));
        (TaskId::new(now, self.priority), delay)
    }
}

fn check_headers(headers: &Headers) -> Result<()> {
    if headers.len() > MOST_HEADERS {
        return Err(Error::invalid(format_args!(
            "{} headers, more than the {MOST_HEADERS} allowed",
            headers.len()
        )));
    }
    for (name, value) in headers {
        check_length("name of a header", name, LONGEST_HEADER_NAME)?;
        if value.len() > LONGEST_HEADER {
            return Err(Error::invalid(format_args!(
                "the header {name:?} has {} bytes, more than the {LONGEST_HEADER} allowed",
                value.len()
            )));
        }
    }
    Ok(())
}

/// The setters that a single task and a batch share.
macro_rules! task_options {
    () => {
        /// Waits for so long before it is ready; the server's clock decides. None unless set.
        pub fn delay(mut self, delay: std::time::Duration) -> Self {
            self.options.when.delay = delay;
            self
        }

        /// Is ready at this time by the server's clock; at once when it has passed. At once unless set.
        pub fn execute_at(mut self, time: std::time::SystemTime) -> Self {
            self.options.when.at = $crate::clock::millis(time);
            self
        }

        /// 0 to 9: higher comes first, and within one priority who came first. Defaults to 0.
        pub fn priority(mut self, priority: u8) -> Self {
            self.options.priority = priority;
            self
        }

        /// How many attempts there are, 1 to 1,000. Defaults to the queue's.
        pub fn max_attempts(mut self, attempts: u32) -> Self {
            self.options.max_attempts = Some(attempts);
            self
        }

        /// How long an attempt may take. Defaults to the queue's.
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.timeout = Some(timeout);
            self
        }

        /// How long the result is kept when the task is completed. Defaults to the queue's.
        pub fn keep_result(mut self, keep: std::time::Duration) -> Self {
            self.options.keep_result = Some(keep);
            self
        }

        /// A text that goes along with the body, such as a `traceparent`: the handler reads it by its name. Up to 16 of them,
        /// names of 1 to 64 bytes, values of up to 1 KiB. None unless set.
        pub fn header(mut self, name: &str, value: &str) -> Self {
            self.options.headers.insert(name.to_owned(), value.to_owned());
            self
        }
    };
}
pub(super) use task_options;
