//! A few bytes of RESP2, so that tests can read a server without the library under test.

use std::io;

use super::endpoint::{Endpoint, Stream};

/// What a server answered to [`TestServer::command`](super::TestServer::command).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// No value: a null bulk string or a null array.
    Nil,
    /// An integer.
    Int(i64),
    /// A status such as `OK`, or a bulk string.
    Text(Vec<u8>),
    /// An array.
    List(Vec<Reply>),
    /// An error inside an array, as `EXEC` gives them. An error as the whole answer is an `Err` of the call.
    Error(String),
}

impl Reply {
    /// The text, when it is one and is UTF-8.
    pub fn text(&self) -> Option<&str> {
        match self {
            Reply::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The integer, also when it came as a text, as `GET` gives it.
    pub fn int(&self) -> Option<i64> {
        match self {
            Reply::Int(number) => Some(*number),
            other => other.text()?.parse().ok(),
        }
    }

    /// The elements; none when it is not an array.
    pub fn list(&self) -> &[Reply] {
        match self {
            Reply::List(items) => items,
            _ => &[],
        }
    }

    /// The elements of an array of texts, as `KEYS` or `ZRANGE` give it; other elements are left out.
    pub fn texts(&self) -> Vec<&str> {
        self.list().iter().filter_map(Reply::text).collect()
    }
}

/// A connection of its own to the server.
pub(super) struct Connection {
    stream: Stream,
    received: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(
        endpoint: &Endpoint,
        password: Option<&str>,
    ) -> io::Result<Connection> {
        let mut connection = Connection { stream: endpoint.connect().await?, received: Vec::new() };
        if let Some(password) = password {
            connection.call(&["AUTH", password]).await?;
        }
        Ok(connection)
    }

    /// Sends one command and reads its reply; an error reply is an error.
    pub(super) async fn call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> io::Result<Reply> {
        let request = request(words);
        let mut rest = request.as_slice();
        while !rest.is_empty() {
            self.stream.writable().await?;
            let written = again(self.stream.try_write(rest))?.unwrap_or(0);
            rest = rest.get(written..).unwrap_or_default();
        }
        loop {
            if let Some((reply, length)) = parse(&self.received)? {
                self.received.drain(..length);
                return match reply {
                    Reply::Error(text) => Err(io::Error::other(text)),
                    reply => Ok(reply),
                };
            }
            self.stream.readable().await?;
            let mut buffer = [0; 16 * 1024];
            match again(self.stream.try_read(&mut buffer))? {
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(length) => self.received.extend(buffer.get(..length).unwrap_or_default()),
                None => {}
            }
        }
    }
}

/// `None` when the socket was not ready after all.
fn again(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn request<A: AsRef<[u8]>>(words: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// The first reply in `bytes` and its length, or `None` when it has not arrived completely.
fn parse(bytes: &[u8]) -> io::Result<Option<(Reply, usize)>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let Some((kind, line)) = bytes.get(..end).and_then(<[u8]>::split_first) else {
        return Err(malformed(bytes));
    };
    let line = std::str::from_utf8(line).map_err(|_| malformed(bytes))?;
    let number = || line.parse::<i64>().map_err(|_| malformed(bytes));
    let start = end + 2;
    match kind {
        b'+' => Ok(Some((Reply::Text(line.into()), start))),
        b'-' => Ok(Some((Reply::Error(line.into()), start))),
        b':' => Ok(Some((Reply::Int(number()?), start))),
        b'$' | b'*' if number()? < 0 => Ok(Some((Reply::Nil, start))),
        b'$' => {
            let length = usize::try_from(number()?).map_err(|_| malformed(bytes))?;
            Ok(bytes
                .get(start..start + length + 2)
                .and_then(|body| body.get(..length))
                .map(|body| (Reply::Text(body.to_vec()), start + length + 2)))
        }
        b'*' => {
            let mut items = Vec::new();
            let mut position = start;
            for _ in 0..number()? {
                match parse(bytes.get(position..).unwrap_or_default())? {
                    Some((item, length)) => {
                        items.push(item);
                        position += length;
                    }
                    None => return Ok(None),
                }
            }
            Ok(Some((Reply::List(items), position)))
        }
        _ => Err(malformed(bytes)),
    }
}

fn malformed(bytes: &[u8]) -> io::Error {
    let start = String::from_utf8_lossy(bytes.get(..bytes.len().min(40)).unwrap_or_default());
    io::Error::new(io::ErrorKind::InvalidData, format!("not a RESP2 reply: {start:?}"))
}

#[cfg(test)]
mod tests {
    use super::{Reply, parse, request};

    #[test]
    fn a_reply_is_read_only_when_it_is_complete() {
        let bytes = b"*4\r\n:7\r\n$3\r\na\r\n\r\n$-1\r\n*1\r\n+OK\r\n";
        for cut in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..cut]), Ok(None)), "cut at {cut}");
        }
        let expected = Reply::List(vec![
            Reply::Int(7),
            Reply::Text(b"a\r\n".to_vec()),
            Reply::Nil,
            Reply::List(vec![Reply::Text(b"OK".to_vec())]),
        ]);
        assert!(
            matches!(parse(bytes), Ok(Some((reply, length))) if reply == expected && length == bytes.len())
        );
    }

    #[test]
    fn what_is_not_a_reply_is_an_error() {
        assert!(parse(b"HTTP/1.1 400\r\n").is_err());
        assert!(parse(b"$x\r\n").is_err());
    }

    #[test]
    fn a_request_keeps_every_byte() {
        assert_eq!(
            request(&[b"GET".as_slice(), b"\0\r\n"]),
            b"*2\r\n$3\r\nGET\r\n$3\r\n\0\r\n\r\n"
        );
    }
}
