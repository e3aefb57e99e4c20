//! Which of a Cluster's slots a key lies in.

/// How many slots a Cluster has.
pub(crate) const COUNT: u16 = 16_384;

/// The slot of a key: of its hash tag, the text between the first `{` and the next `}`, or of all of it when there is
/// no tag or an empty one.
pub(crate) fn of(key: &[u8]) -> u16 {
    crc16(tag(key)) % COUNT
}

fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let behind = key.get(open + 1..).unwrap_or_default();
    match behind.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => behind.get(..close).unwrap_or(key),
    }
}

/// CRC-16/XMODEM, as the Redis Cluster specification has it (appendix A). An object's slot is worked out once, so bit
/// by bit is fast enough.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn only_the_first_tag_counts_and_an_empty_one_is_none() {
        assert_eq!(of(b"a:{user:1}:x"), of(b"b:{user:1}:{other}"));
        assert_eq!(of(b"a:{user:1}:x"), of(b"user:1"));
        assert_eq!(tag(b"{}a"), b"{}a");
        assert_eq!(tag(b"a{b"), b"a{b");
        assert_eq!(tag(b"a}b{c}"), b"c");
    }
}
