//! What a device calls itself, in two words; and times as the pages show them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::messages::Messages;

/// Such as `Firefox, Linux`; the text itself, up to 60 characters, when nothing in it is known.
pub(super) fn device(agent: &str, t: &Messages) -> String {
    // Each claims to be those that stand behind it here, too.
    let programs = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    let systems = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ];
    let find = |names: &[(&str, &'static str)]| {
        names.iter().find(|(part, _)| agent.contains(part)).map(|(_, name)| *name)
    };
    match (find(&programs), find(&systems)) {
        (Some(program), Some(system)) => [program, ", ", system].concat(),
        (Some(program), None) => program.to_owned(),
        _ if agent.is_empty() => t.unknown_device.to_owned(),
        _ => agent.chars().take(60).collect(),
    }
}

/// Such as `2026-11-26 08:14 UTC`.
pub(super) fn minute(seconds: &u64) -> String {
    let time =
        i64::try_from(*seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = time.unwrap_or_default().to_zoned(TimeZone::UTC);
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::messages::ENGLISH;
    use super::*;

    #[test]
    fn a_device_is_named_by_its_program_and_its_system() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1";
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0 Safari/537.36 Edg/140.0";
        for (agent, name) in [
            (firefox, "Firefox, Linux"),
            (phone, "Safari, iPhone"),
            (edge, "Edge, Windows"),
            ("curl/8.14.1", "curl"),
            ("<b>", "<b>"),
            ("", "An unknown device"),
        ] {
            assert_eq!(device(agent, &ENGLISH), name);
        }
    }

    #[test]
    fn a_time_is_told_to_the_minute() {
        assert_eq!(minute(&1_795_681_000), "2026-11-26 08:16 UTC");
        assert_eq!(minute(&u64::MAX), "1970-01-01 00:00 UTC");
    }
}
