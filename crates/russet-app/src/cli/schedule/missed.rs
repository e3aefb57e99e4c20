//! What becomes of missed ticks, as it is typed and printed.

use russet::Missed;

use crate::cli::report::age;

/// Reads `once`, `skip:30s` or `all:10`.
pub(super) fn read(text: &str) -> Result<Missed, String> {
    match text.split_once(':') {
        None if text == "once" => Ok(Missed::RunOnce),
        Some(("skip", time)) => match age(time)? {
            time if time.is_zero() => Err("expected at least 1s".to_owned()),
            later_than => Ok(Missed::Skip { later_than }),
        },
        Some(("all", most)) => match most.parse() {
            Ok(at_most @ 1..=1_000) => Ok(Missed::RunAll { at_most }),
            _ => Err("expected 1 to 1000 missed ones".to_owned()),
        },
        _ => Err("expected once, skip:DURATION or all:N, such as skip:30s".to_owned()),
    }
}

/// The same as text.
pub(super) fn shown(missed: Missed) -> String {
    match missed {
        Missed::RunOnce => "once".to_owned(),
        Missed::Skip { later_than } => format!("skip:{}s", later_than.as_secs_f64()),
        Missed::RunAll { at_most } => format!("all:{at_most}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_shown() {
        for text in ["once", "skip:1s", "skip:90s", "all:1", "all:1000"] {
            assert_eq!(shown(read(text).unwrap()), text);
        }
        assert_eq!(shown(read("skip:2m").unwrap()), "skip:120s");
        for wrong in [
            "", "never", "skip", "skip:", "skip:0", "skip:1w", "all", "all:0", "all:1001", "once:1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
