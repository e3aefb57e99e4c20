//! Figures as a table for people and as JSON for programs.

use std::fmt::Write;

use serde::Serialize;

/// The figures of one case: medians of its rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The block.
    pub block: &'static str,
    /// The case.
    pub case: &'static str,
    /// Operations a second, all callers together.
    pub ops_per_s: f64,
    /// The time of an operation in the middle of all, in microseconds.
    pub p50_us: f64,
    /// The time that 99 of 100 operations stay below, in microseconds.
    pub p99_us: f64,
    /// CPU time of the server for an operation, user and system, in microseconds.
    pub server_cpu_us_per_op: f64,
    /// Commands for an operation, those inside scripts included.
    pub commands_per_op: f64,
    /// Round trips for an operation of a single caller.
    pub round_trips_per_op: f64,
    /// Bytes that one more item takes, where items are what the case is about.
    pub bytes_per_item: Option<f64>,
    /// Our rate divided by the floor's.
    pub floor_ratio: Option<f64>,
    /// The slowest and the fastest round, for the table.
    #[serde(skip)]
    pub spread: Spread,
    /// The floor's commands, for the table.
    #[serde(skip)]
    pub floor: Option<&'static str>,
    /// What the server ran for a batch, for the lines below the table.
    #[serde(skip)]
    pub batch: Option<Batch>,
}

/// The commands of a batch of operations.
#[derive(Clone, Debug)]
pub struct Batch {
    /// How many operations are in a batch.
    pub operations: u32,
    /// How often each command ran, those inside scripts included, the most frequent first.
    pub commands: Vec<(String, f64)>,
}

/// How far the rounds lie apart, in operations a second.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The slowest round.
    pub slowest: f64,
    /// The fastest round.
    pub fastest: f64,
}

/// The table, as it is printed.
#[must_use]
pub fn table(measured: &[Measured]) -> String {
    let mut text = format!(
        "{:<7}{:<22}{:>10}{:>20}{:>10}{:>10}{:>12}{:>10}{:>8}{:>8}{:>8}  {}\n",
        "block",
        "case",
        "ops/s",
        "slowest-fastest",
        "p50 us",
        "p99 us",
        "server us",
        "commands",
        "trips",
        "bytes",
        "ratio",
        "floor"
    );
    for one in measured {
        let spread = format!("{:.0}-{:.0}", one.spread.slowest, one.spread.fastest);
        let optional = |figure: Option<f64>, digits: usize| {
            figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
        };
        let (bytes, ratio) = (optional(one.bytes_per_item, 0), optional(one.floor_ratio, 2));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<7}{:<22}{:>10.0}{spread:>20}{:>10.0}{:>10.0}{:>12.1}{:>10.2}{:>8.2}{bytes:>8}{ratio:>8}  {}",
            one.block,
            one.case,
            one.ops_per_s,
            one.p50_us,
            one.p99_us,
            one.server_cpu_us_per_op,
            one.commands_per_op,
            one.round_trips_per_op,
            one.floor.unwrap_or("-")
        );
    }
    for (one, batch) in measured.iter().filter_map(|one| Some((one, one.batch.as_ref()?))) {
        let commands = batch.commands.iter().map(|(name, times)| format!("{name} {times:.2}"));
        let commands = commands.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            text,
            "\n{}, the commands of {} as the server counted them: {commands}",
            one.case, batch.operations
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_documented_fields_and_null_where_one_does_not_apply() {
        let measured = Measured {
            block: "cache",
            case: "hit",
            ops_per_s: 1.0,
            p50_us: 2.0,
            p99_us: 3.0,
            server_cpu_us_per_op: 4.0,
            commands_per_op: 5.0,
            round_trips_per_op: 6.0,
            bytes_per_item: None,
            floor_ratio: Some(0.9),
            spread: Spread { slowest: 1.0, fastest: 1.0 },
            floor: Some("GET"),
            batch: Some(Batch {
                operations: 50,
                commands: vec![("rpush".to_owned(), 2.0), ("evalsha".to_owned(), 1.0)],
            }),
        };
        let json = serde_json::to_string(&measured).unwrap();
        let expected = r#"{"block":"cache","case":"hit","ops_per_s":1.0,"p50_us":2.0,"p99_us":3.0,"server_cpu_us_per_op":4.0,"commands_per_op":5.0,"round_trips_per_op":6.0,"bytes_per_item":null,"floor_ratio":0.9}"#;
        assert_eq!(json, expected);
        let table = table(&[measured]);
        assert!(table.contains("GET"));
        let told =
            "\nhit, the commands of 50 as the server counted them: rpush 2.00, evalsha 1.00\n";
        assert!(table.ends_with(told), "{table}");
    }
}
