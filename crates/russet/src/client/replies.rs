//! A connection on which the server speaks unasked: what it says comes one after the other, in the second version of its
//! protocol.
//!
//! The driver's connections pair each question with the next answer. A server that ends a subscription by itself says so
//! with the very words that answer an unsubscription, so here the reader decides what belongs together.

use bytes::BytesMut;
use redis::{Cmd, ErrorKind, RedisConnectionInfo, RedisError, RedisResult, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::dial::Wire;

/// One open connection.
pub(super) struct Replies {
    wire: Box<dyn Wire>,
    received: BytesMut,
    /// What is still to be sent.
    sending: BytesMut,
}

impl Replies {
    /// Logs in on a new connection.
    pub(super) async fn open(
        wire: Box<dyn Wire>,
        login: &RedisConnectionInfo,
    ) -> RedisResult<Self> {
        let mut replies = Self { wire, received: BytesMut::new(), sending: BytesMut::new() };
        if let Some(password) = login.password() {
            let mut auth = redis::cmd("AUTH");
            auth.arg(login.username()).arg(password);
            replies.send([&auth]).await?;
            replies.next().await?.extract_error().map_err(|why| {
                let why = why.detail().unwrap_or_default().to_owned();
                RedisError::from((ErrorKind::AuthenticationFailed, "the login was refused", why))
            })?;
        }
        let names =
            [("LIB-NAME", login.lib_name()), ("LIB-VER", login.lib_ver())].map(|(what, name)| {
                let mut info = redis::cmd("CLIENT");
                info.arg("SETINFO").arg(what).arg(name.unwrap_or_default());
                info
            });
        replies.send(&names).await?;
        for _ in &names {
            // An older server does not know it, and this user may not be allowed to say it.
            replies.next().await?;
        }
        Ok(replies)
    }

    /// Sends commands, whose answers are for the caller to read. When the future is dropped, the rest of them goes in front
    /// of what is sent next.
    pub(super) async fn send<'a>(
        &mut self,
        commands: impl IntoIterator<Item = &'a Cmd>,
    ) -> RedisResult<()> {
        for command in commands {
            self.sending.extend_from_slice(&command.get_packed_command());
        }
        while !self.sending.is_empty() {
            if self.wire.write_buf(&mut self.sending).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into());
            }
        }
        self.wire.flush().await?;
        Ok(())
    }

    /// The next thing that the server says. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection is lost. What the server says itself, errors too, is a value.
    pub(super) async fn next(&mut self) -> RedisResult<Value> {
        loop {
            if let Some(end) = end(&self.received)? {
                return redis::parse_redis_value(&self.received.split_to(end));
            }
            if self.wire.read_buf(&mut self.received).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// Where the first whole value ends; `None` when more is to come.
fn end(bytes: &[u8]) -> RedisResult<Option<usize>> {
    let mut at = 0;
    // How many values are left of the list that was begun, of those around it too.
    let mut left = 1_usize;
    while left > 0 {
        let Some(rest) = bytes.get(at..) else { return Ok(None) };
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let (head, length) = rest[..line].split_first().ok_or_else(unreadable)?;
        at += line + 2;
        left -= 1;
        match head {
            b'+' | b'-' | b':' => {}
            b'$' | b'*' => {
                let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
                let length: i64 = length.ok_or_else(unreadable)?;
                // A length of -1 is that of nothing.
                let length = usize::try_from(length).ok();
                match (head, length) {
                    (_, None) => {}
                    (b'$', Some(length)) => at = at.saturating_add(length).saturating_add(2),
                    (_, Some(length)) => left = left.saturating_add(length),
                }
            }
            _ => return Err(unreadable()),
        }
    }
    Ok((at <= bytes.len()).then_some(at))
}

fn unreadable() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::InvalidData).into()
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const SAID: &[u8] =
        b"+OK\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\na\r\nb\r\n:7\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n*1\r\n:1\r\n$0\r\n\r\n-MOVED 5 ::1:7\r\n";
    /// What stands in `SAID`.
    const VALUES: usize = 8;

    #[test]
    fn a_value_ends_where_it_ends_and_never_before() {
        let mut rest = SAID;
        for _ in 0..VALUES {
            let whole = end(rest).unwrap().unwrap();
            for part in 0..whole {
                assert_eq!(end(&rest[..part]).unwrap(), None, "{part} of {whole}");
            }
            rest = &rest[whole..];
        }
        assert!(rest.is_empty());
        for wrong in ["\r\n", "x1\r\n", "$x\r\n", "*99999999999999999999\r\n"] {
            assert!(end(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(end(b"$9223372036854775807\r\n").unwrap(), None);
    }

    #[tokio::test]
    async fn what_comes_byte_by_byte_is_read_whole_also_when_the_reader_goes_away_in_between() {
        let (near, mut far) = duplex(1);
        let (received, sending) = (BytesMut::new(), BytesMut::new());
        let mut replies = Replies { wire: Box::new(near), received, sending };
        let saying = async {
            for byte in SAID {
                far.write_all(&[*byte]).await.unwrap();
            }
            std::future::pending::<()>().await
        };
        let reading = async {
            let mut read = Vec::new();
            while read.len() < VALUES {
                tokio::select! {
                    biased;
                    value = replies.next() => read.push(value.unwrap()),
                    () = tokio::task::yield_now() => {}
                }
            }
            read
        };
        let read = tokio::select! {
            read = reading => read,
            () = saying => unreachable!(),
        };
        assert_eq!(read[0], Value::Okay);
        assert_eq!(read[2], Value::Int(7));
        let Value::Array(message) = &read[1] else { panic!("{read:?}") };
        assert_eq!(message[2], Value::BulkString(b"a\r\nb".to_vec()));
        let Value::ServerError(moved) = &read[7] else { panic!("{read:?}") };
        assert_eq!((moved.code(), moved.details()), ("MOVED", Some("5 ::1:7")));
    }
}
