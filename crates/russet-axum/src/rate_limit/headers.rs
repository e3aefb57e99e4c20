//! `RateLimit-Policy` and `RateLimit`, as draft-ietf-httpapi-ratelimit-headers-10 has them.

use std::fmt::Write as _;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use russet::{Allowance, RateLimiter};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The largest integer of a structured field.
const LARGEST: u64 = 999_999_999_999_999;

/// Adds a member to both lists for each check that was made.
pub(super) fn tell(response: &mut Response, told: &[(&RateLimiter, Allowance)]) {
    for (limiter, allowance) in told {
        let (policy, limit) = fields(limiter, allowance);
        for (name, value) in [(POLICY, policy), (LIMIT, limit)] {
            // A layer further in may have told its own: lines of one name are one list.
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().append(name, value);
            }
        }
    }
}

fn fields(limiter: &RateLimiter, allowance: &Allowance) -> (String, String) {
    let limits = limiter.limits();
    let policy = |place: usize| match limits.len() {
        1 => string(limiter.name()),
        _ => string(&format!("{}-{}", limiter.name(), place + 1)),
    };
    let listed = limits.iter().enumerate().map(|(place, limit)| {
        let (quota, window) = limit.quota();
        format!("{};q={};w={}", policy(place), quota.min(LARGEST), seconds(window).max(1))
    });
    let listed: Vec<_> = listed.collect();
    let (remaining, reset) = (allowance.remaining, seconds(allowance.reset_after));
    let limit = format!("{};r={};t={reset}", policy(allowance.narrowest), remaining.min(LARGEST));
    (listed.join(", "), limit)
}

/// Whole seconds, rounded up: nobody is told to come too early.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).min(LARGEST)
}

/// A string of a structured field holds printable ASCII; other bytes are percent-encoded.
fn string(name: &str) -> String {
    let mut text = String::from('"');
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', byte.into()]),
            b'%' | ..=0x1f | 0x7f.. => {
                // Writing to a string does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
            _ => text.push(byte.into()),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_content_is_a_string_of_a_structured_field() {
        for (name, text) in
            [("api", r#""api""#), (r#"a"b\c"#, r#""a\"b\\c""#), ("é\n%", r#""%C3%A9%0A%25""#)]
        {
            assert_eq!(string(name), text);
        }
    }

    #[test]
    fn a_part_of_a_second_is_a_whole_one() {
        for (ms, whole) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(seconds(Duration::from_millis(ms)), whole);
        }
    }
}
