//! What a message is in Redis.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    codec::Codec,
    error::{Error, Result},
};

/// The version of the form of a topic's records. Live messages have none: they are what the codec makes, and no one keeps
/// them.
pub(super) const VERSION: &str = "1";

/// The bytes of a message, if it is not too large.
pub(super) fn encoded<T: Serialize>(
    codec: &impl Codec,
    object: &str,
    message: &T,
    most: usize,
) -> Result<Vec<u8>> {
    let payload = codec.encode(message).map_err(|why| Error::codec(object, why))?;
    match payload.len() {
        length if length > most => Err(Error::invalid(format_args!(
            "{object}: the message has {length} bytes, more than the {most} allowed"
        ))),
        _ => Ok(payload),
    }
}

/// Reads the fields of a record. Fields that this version does not know are left alone.
pub(super) fn decoded<T: DeserializeOwned>(
    codec: &impl Codec,
    object: &str,
    fields: &[Vec<u8>],
) -> Result<T> {
    let field = |name: &str| {
        let mut pairs = fields.chunks_exact(2);
        pairs.find(|pair| pair[0] == name.as_bytes()).map(|pair| pair[1].as_slice())
    };
    match (field("v"), field("body")) {
        (Some(version), Some(body)) if version == VERSION.as_bytes() => {
            codec.decode(body).map_err(|why| Error::codec(object, why))
        }
        (Some(version), _) if version != VERSION.as_bytes() => {
            let version = String::from_utf8_lossy(version);
            Err(Error::codec(object, format!("a record of the unknown version {version}").into()))
        }
        _ => Err(Error::codec(object, "a record of another form".into())),
    }
}
