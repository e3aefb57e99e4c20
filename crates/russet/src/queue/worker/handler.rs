//! A typed handler as the worker keeps it.

use futures_util::future::{BoxFuture, FutureExt};
use serde::Serialize;

use super::TaskContext;
use crate::{
    error::BoxError,
    queue::{Task, delivery::decode_body},
};

/// Takes the encoded task, and gives the encoded result. The outer error is of a body that does not decode.
pub(super) type Handler<S> = Box<
    dyn Fn(&[u8], TaskContext<S>) -> Result<BoxFuture<'static, Result<Vec<u8>, BoxError>>, BoxError>
        + Send
        + Sync,
>;

pub(super) fn of<S, T, F, Fut, R, E>(handler: F) -> Handler<S>
where
    S: Send + Sync + 'static,
    T: Task,
    F: Fn(T, TaskContext<S>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    R: Serialize,
    E: Into<BoxError>,
{
    Box::new(move |body, context| {
        let task: T = decode_body(body)?;
        let keeps = context.keeps_result();
        let work = handler(task, context);
        let work = async move {
            let result = work.await.map_err(Into::into)?;
            // Nobody will see it.
            if !keeps {
                return Ok(Vec::new());
            }
            Ok(serde_json::to_vec(&result)?)
        };
        Ok(work.boxed())
    })
}
