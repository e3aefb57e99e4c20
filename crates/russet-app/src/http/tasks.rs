//! `/api/tasks`: work for later, and what became of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use russet::{Cancelled, DeadTask, QueueCounts, TaskError, TaskId, TaskState, TaskStatus};
use russet_axum::ApiError;
use russet_axum::extract::{Json, Path, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::openapi::{Object, ObjectBuilder};
use utoipa::{IntoParams, ToSchema};

use super::openapi::{ErrorBody, RefusedBody};
use crate::AppState;
use crate::jobs::{Job, Options};

/// The longest delay: as long as the queue takes.
const LONGEST_DELAY: f64 = 366.0 * 86_400.0;
/// The end of the year 9999.
const LATEST: f64 = 253_402_300_799.0;
/// The longest unique key and request id, in bytes.
const LONGEST_KEY: usize = 200;

/// Work for later.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// `send_email`, `notification`, `process_image`, `cleanup_temp_files` or `order`.
    #[schema(example = "send_email")]
    name: String,
    #[serde(default = "empty")]
    #[schema(schema_with = body_schema)]
    body: Value,
    /// 0 to 9, higher first. Default 0.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9)]
    priority: u8,
    /// How many seconds the task waits. Default none.
    #[schema(minimum = 0)]
    delay: Option<f64>,
    /// From when on the task is done: seconds since 1970 UTC, by the clock of the Redis server.
    execute_at: Option<f64>,
    /// While another task with this key waits or runs, nothing is put on the queue.
    unique: Option<String>,
    /// The name of this call: within a day, the same call again puts nothing on the queue.
    request_id: Option<String>,
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

#[expect(
    deprecated,
    reason = "the other fields have their example in this form, which /docs shows"
)]
fn body_schema() -> Object {
    let fields = "What the task needs. `send_email`: `email`, `subject`, `content`. `notification`: `user_id`, `content`. \
                  `process_image`: `image_path`, `operations` (`resize`, `watermark`), `width`, `height`. \
                  `cleanup_temp_files`: `directory`, `older_than` (seconds). `order`: `order_id`, `user_id`, `email`. \
                  Default none.";
    let example =
        json!({"email": "ada@example.com", "subject": "Welcome", "content": "Hello, Ada."});
    ObjectBuilder::new().description(Some(fields)).example(Some(example)).build()
}

/// A task that was put on the queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskPut {
    /// Its id; of the other task when it is not new.
    id: String,
    /// False when the call was made before, or another task has the unique key.
    is_new: bool,
}

/// What is known of a task.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskView {
    id: String,
    /// What kind of task it is.
    name: String,
    /// `scheduled`, `ready`, `running`, `retrying`, `completed`, `dead` or `cancelled`.
    state: &'static str,
    /// When a scheduled or retrying task will be ready; when another one was completed or cancelled, or since when it is dead:
    /// seconds since 1970 UTC.
    at: Option<f64>,
    /// How many attempts were counted.
    attempts: u32,
    /// What went wrong so far, the oldest first.
    errors: Vec<Failed>,
    /// What its handler said last of how far it is; gone when it is completed.
    #[schema(value_type = Option<Object>)]
    progress: Option<Value>,
    /// What a completed task answered; kept for a day.
    #[schema(value_type = Option<Object>)]
    result: Option<Value>,
}

/// A failed attempt.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failed {
    /// Seconds since 1970 UTC.
    at: f64,
    /// From 1.
    attempt: u32,
    error: String,
}

/// The queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueView {
    counts: Counts,
    /// The tasks that died last, the newest first.
    dead: Vec<TaskView>,
}

/// How many tasks are in which state.
#[derive(Debug, Serialize, ToSchema)]
pub struct Counts {
    scheduled: u64,
    ready: u64,
    running: u64,
    retrying: u64,
    dead: u64,
    /// Completed and cancelled ones that are kept.
    kept: u64,
    /// Ever.
    completed: u64,
    /// Attempts, ever.
    failed: u64,
    /// Whether the queue gives no tasks.
    is_paused: bool,
}

/// How much of the queue.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Look {
    /// How many dead tasks at most. Default 10.
    #[param(minimum = 0, maximum = 100)]
    dead: Option<u64>,
}

/// A task that was told to end.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskCancelled {
    id: String,
    /// `cancelled`, or `running` when its handler was asked to end.
    state: &'static str,
}

/// Puts a task on the queue.
#[utoipa::path(post, path = "/api/tasks", operation_id = "create_task", tag = "tasks", request_body = NewTask, responses(
    (status = 201, description = "It is there", body = TaskPut, headers(("location" = String, description = "Its path"))),
    (status = 200, description = "It was there before: the call's or another one with its unique key", body = TaskPut,
     headers(("location" = String, description = "Its path"))),
    (status = 400, description = "A field is missing or wrong; the text names it", body = ErrorBody),
    (status = 503, description = "Redis is away; the text says whether the task may be there", body = ErrorBody),
    RefusedBody,
))]
pub async fn create(
    State(app): State<AppState>,
    Json(task): Json<NewTask>,
) -> Result<Response, ApiError> {
    let (job, options) = task.checked()?;
    let put = job.enqueue(&app.tasks, &options).await?;
    let status = if put.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = [(header::LOCATION, format!("/api/tasks/{}", put.id))];
    let put = TaskPut { id: put.id.to_string(), is_new: put.is_new };
    Ok((status, location, Json(put)).into_response())
}

/// What is known of a task.
#[utoipa::path(get, path = "/api/tasks/{id}", operation_id = "find_task", tag = "tasks",
    params(("id" = String, Path, description = "The task's id")), responses(
    (status = 200, description = "Where it is", body = TaskView),
    (status = 400, description = "Not an id", body = ErrorBody),
    (status = 404, description = "No such task, or it ended a day ago", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn find(
    State(app): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, ApiError> {
    let status = app.tasks.status(parse_id(&id)?).await?;
    status.map(|status| Json(status.into())).ok_or_else(no_such_task)
}

/// Cancels a task: one that waits will not run, the handler of one that runs is asked to end.
#[utoipa::path(delete, path = "/api/tasks/{id}", operation_id = "cancel_task", tag = "tasks",
    params(("id" = String, Path, description = "The task's id")), responses(
    (status = 200, description = "It waited, and will not run", body = TaskCancelled),
    (status = 202, description = "It runs, and was asked to end", body = TaskCancelled),
    (status = 400, description = "Not an id", body = ErrorBody),
    (status = 404, description = "No such task, or it ended a day ago", body = ErrorBody),
    (status = 409, description = "It has ended already", body = ErrorBody),
    (status = 503, description = "Redis is away; cancelling again does no harm", body = ErrorBody),
))]
pub async fn cancel(
    State(app): State<AppState>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<TaskCancelled>), ApiError> {
    let id = parse_id(&id)?;
    let (status, state) = match app.tasks.cancel(id).await? {
        Cancelled::Done => (StatusCode::OK, "cancelled"),
        Cancelled::Asked => (StatusCode::ACCEPTED, "running"),
        Cancelled::Gone if app.tasks.status(id).await?.is_none() => return Err(no_such_task()),
        Cancelled::Dead | Cancelled::Gone => {
            return Err(ApiError::new(StatusCode::CONFLICT, "the task has ended already"));
        }
    };
    Ok((status, Json(TaskCancelled { id: id.to_string(), state })))
}

/// How many tasks are in which state, and those that died last.
#[utoipa::path(get, path = "/api/tasks", operation_id = "look_at_tasks", tag = "tasks", params(Look), responses(
    (status = 200, description = "The queue", body = QueueView),
    (status = 400, description = "A parameter out of range", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn look(
    State(app): State<AppState>,
    Query(look): Query<Look>,
) -> Result<Json<QueueView>, ApiError> {
    let most = look.dead.unwrap_or(10);
    if most > 100 {
        return Err(ApiError::bad_request("dead must be 0 to 100"));
    }
    let counts = app.tasks.counts().await?;
    let mut dead = Vec::new();
    if most > 0 && counts.dead > 0 {
        let skip = counts.dead.saturating_sub(most);
        dead = app.tasks.dead(skip, most).await?.into_iter().map(TaskView::from).collect();
        dead.reverse();
    }
    Ok(Json(QueueView { counts: counts.into(), dead }))
}

impl NewTask {
    fn checked(self) -> Result<(Job, Options), ApiError> {
        let bad = |what: String| ApiError::bad_request(what);
        if self.priority > 9 {
            return Err(bad("priority must be 0 to 9".into()));
        }
        if self.delay.is_some() && self.execute_at.is_some() {
            return Err(bad("delay and execute_at exclude each other".into()));
        }
        if self.delay.is_some_and(|delay| !(0.0..=LONGEST_DELAY).contains(&delay)) {
            return Err(bad(format!("delay must be 0 to {LONGEST_DELAY} seconds")));
        }
        if self.execute_at.is_some_and(|time| !(0.0..=LATEST).contains(&time)) {
            return Err(bad("execute_at must be seconds from 1970 to the year 9999".into()));
        }
        for (field, key) in [("unique", &self.unique), ("request_id", &self.request_id)] {
            let Some(key) = key else { continue };
            if !(1..=LONGEST_KEY).contains(&key.len()) {
                return Err(bad(format!("{field} must have 1 to {LONGEST_KEY} bytes")));
            }
        }
        let job = Job::read(&self.name, self.body).map_err(bad)?;
        let options = Options {
            priority: self.priority,
            delay: self.delay.map(Duration::from_secs_f64),
            execute_at: self.execute_at.map(|time| UNIX_EPOCH + Duration::from_secs_f64(time)),
            unique: self.unique,
            request_id: self.request_id,
        };
        Ok((job, options))
    }
}

impl From<TaskStatus> for TaskView {
    fn from(status: TaskStatus) -> Self {
        let (state, at) = place(status.state);
        let json = |bytes: Vec<u8>| serde_json::from_slice(&bytes).ok();
        Self {
            id: status.id.to_string(),
            name: status.name,
            state,
            at: at.map(seconds),
            attempts: status.attempts,
            errors: status.errors.into_iter().map(Failed::from).collect(),
            progress: status.progress.and_then(json),
            result: status.result.and_then(json),
        }
    }
}

impl From<DeadTask> for TaskView {
    fn from(task: DeadTask) -> Self {
        Self {
            id: task.id.to_string(),
            name: task.name,
            state: "dead",
            at: Some(seconds(task.since)),
            attempts: task.attempts,
            errors: task.errors.into_iter().map(Failed::from).collect(),
            progress: None,
            result: None,
        }
    }
}

impl From<TaskError> for Failed {
    fn from(error: TaskError) -> Self {
        Self { at: seconds(error.at), attempt: error.attempt, error: error.message }
    }
}

impl From<QueueCounts> for Counts {
    fn from(counts: QueueCounts) -> Self {
        Self {
            scheduled: counts.scheduled,
            ready: counts.ready,
            running: counts.running,
            retrying: counts.retrying,
            dead: counts.dead,
            kept: counts.kept,
            completed: counts.completed,
            failed: counts.failed,
            is_paused: counts.is_paused,
        }
    }
}

/// The name of a state, and the time that belongs to it.
pub(crate) fn place(state: TaskState) -> (&'static str, Option<SystemTime>) {
    match state {
        TaskState::Scheduled { due } => ("scheduled", Some(due)),
        TaskState::Ready => ("ready", None),
        TaskState::Running { .. } => ("running", None),
        TaskState::Retrying { due } => ("retrying", Some(due)),
        TaskState::Completed { at } => ("completed", Some(at)),
        TaskState::Dead { since } => ("dead", Some(since)),
        TaskState::Cancelled { at } => ("cancelled", Some(at)),
    }
}

pub(crate) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn parse_id(id: &str) -> Result<TaskId, ApiError> {
    id.parse().map_err(|_| ApiError::bad_request("the id of a task is 22 letters and digits"))
}

fn no_such_task() -> ApiError {
    ApiError::not_found("there is no task with this id")
}
