use serde::{Serialize, de::DeserializeOwned};

use crate::error::BoxError;

/// How values become bytes in Redis.
///
/// [`Json`] is the default: other languages and `redis-cli` can read it. An own codec is a unit struct
/// with the two functions, given to a builder's `codec`. Processes that share an object must share its codec.
pub trait Codec: Clone + Send + Sync + 'static {
    /// The bytes of a value.
    ///
    /// # Errors
    /// Whatever the format cannot express.
    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, BoxError>;

    /// The value that the bytes stand for.
    ///
    /// # Errors
    /// The bytes are not of this format or not of this type.
    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, BoxError>;
}

/// Values as JSON text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Codec for Json {
    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, BoxError> {
        Ok(serde_json::to_vec(value)?)
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
