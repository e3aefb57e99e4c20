//! Rounds, medians, and the server's own accounting.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use russet::{metered, testing::TestServer};

use super::{
    case::{Case, Floor, RoundTrips, Took, Work},
    report::{Batch, Measured, Spread},
};
use crate::Failure;

/// How long a case is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of ours and of the floor, in turn.
    pub rounds: usize,
    /// The time of one round.
    pub round: Duration,
}

/// Operations whose round trips are counted.
const COUNTED: u64 = 50;

/// Numbers operations over all rounds, so that no two are the same.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What one round showed.
struct Round {
    ops_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    server_cpu_us: f64,
    /// For an operation, by their names.
    commands: Commands,
}

/// How often each command ran.
type Commands = BTreeMap<String, f64>;

/// Measures one case: a warm-up, then the rounds; each figure is the median of the rounds.
///
/// # Errors
/// What an operation meets: a figure of failed operations would say nothing.
pub(super) async fn measure(
    server: &TestServer,
    case: &Case,
    effort: Effort,
) -> Result<Measured, Failure> {
    let round_trips = count_round_trips(case).await?;
    let warm_up = effort.round / 4;
    let ours_once = async |length| round(server, case, &case.before, &case.ours, length).await;
    let floor_once = async |floor: &Floor, length| {
        Ok::<_, Failure>(round(server, case, &floor.before, &floor.work, length).await?.ops_per_s)
    };
    ours_once(warm_up).await?;
    if let Some(floor) = &case.floor {
        floor_once(floor, warm_up).await?;
    }
    let mut ours = Vec::new();
    let mut floors = Vec::new();
    for _ in 0..effort.rounds {
        ours.push(ours_once(effort.round).await?);
        if let Some(floor) = &case.floor {
            floors.push(floor_once(floor, effort.round).await?);
        }
    }
    let figure = |pick: fn(&Round) -> f64| median(ours.iter().map(pick));
    let rates = || ours.iter().map(|round| round.ops_per_s);
    Ok(Measured {
        block: case.block,
        case: case.name,
        ops_per_s: figure(|round| round.ops_per_s),
        p50_us: figure(|round| round.p50_us),
        p99_us: figure(|round| round.p99_us),
        server_cpu_us_per_op: figure(|round| round.server_cpu_us),
        commands_per_op: figure(|round| round.commands.values().sum()),
        round_trips_per_op: round_trips,
        bytes_per_item: case.bytes_per_item,
        // Round by round, since the machine's speed drifts.
        floor_ratio: case
            .floor
            .is_some()
            .then(|| median(rates().zip(&floors).map(|(rate, floor)| rate / floor))),
        spread: Spread {
            slowest: rates().fold(f64::INFINITY, f64::min),
            fastest: rates().fold(0.0, f64::max),
        },
        floor: case.floor.as_ref().map(|floor| floor.commands),
        batch: case.batch.map(|operations| batch(operations, &ours)),
    })
}

/// Each command's median over the rounds, for so many operations; those that nearly no batch needs are left out.
fn batch(operations: u32, rounds: &[Round]) -> Batch {
    let names: BTreeSet<_> = rounds.iter().flat_map(|round| round.commands.keys()).collect();
    let of = |name: &str, round: &Round| round.commands.get(name).copied().unwrap_or_default();
    let times =
        |name: &str| median(rounds.iter().map(|round| of(name, round))) * f64::from(operations);
    let mut commands: Vec<_> = names.into_iter().map(|name| (name.clone(), times(name))).collect();
    commands.retain(|(_, times)| *times >= 0.005);
    commands.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    Batch { operations, commands }
}

async fn round(
    server: &TestServer,
    case: &Case,
    before: &Option<Work>,
    work: &Work,
    length: Duration,
) -> Result<Round, Failure> {
    if let Some(before) = before {
        before.run(NUMBER.fetch_add(1, Ordering::Relaxed)).await?;
    }
    let once = case.once;
    let (cpu, commands) = (server.cpu_micros().await?, commands(server).await?);
    let started = Instant::now();
    let tasks: Vec<_> = (0..case.callers)
        .map(|_| {
            let work = work.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < length {
                    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                    let before = Instant::now();
                    let took = match work.run(number).await? {
                        Took::AllOfIt => before.elapsed(),
                        Took::Part(part) => part,
                    };
                    times.push(took);
                    if once {
                        break;
                    }
                }
                Ok::<_, Failure>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let done = (times.len() as f64 * f64::from(case.at_once)).max(1.0);
    times.sort_unstable();
    let quantile = |part: f64| {
        let place = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        let time = times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6);
        time / f64::from(case.at_once)
    };
    Ok(Round {
        ops_per_s: done / elapsed,
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        server_cpu_us: (server.cpu_micros().await? - cpu) as f64 / done,
        commands: since(&commands, self::commands(server).await?, done),
    })
}

/// One caller, one operation after the other.
async fn count_round_trips(case: &Case) -> Result<f64, Failure> {
    let mut total = 0;
    // A drain is many of them.
    let runs = if case.once { 1 } else { COUNTED };
    // The first one may find scripts that the server does not know yet.
    for counted in 0..=runs {
        if let Some(before) = &case.before {
            before.run(NUMBER.fetch_add(1, Ordering::Relaxed)).await?;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let sent = match &case.round_trips {
            RoundTrips::Metered => {
                let (done, sent) = metered(case.ours.run(number)).await;
                done?;
                sent.round_trips
            }
            RoundTrips::Proxied(proxy, work) => {
                proxy.reset_counts();
                work.run(number).await?;
                proxy.round_trips()
            }
        };
        if counted > 0 {
            total += sent;
        }
    }
    Ok(total as f64 / runs as f64 / f64::from(case.at_once))
}

/// All commands that the server has run, those inside scripts included, those of the accounting itself left out.
async fn commands(server: &TestServer) -> Result<Commands, Failure> {
    let reply = server.command(&["INFO", "commandstats"]).await?;
    let calls = |line: &str| {
        let (name, fields) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let calls = fields.strip_prefix("calls=")?.split(',').next()?;
        Some((name.to_owned(), calls.parse().ok()?)).filter(|_| name != "info")
    };
    Ok(reply.text().unwrap_or_default().lines().filter_map(calls).collect())
}

/// What has run since, for each of so many operations.
fn since(before: &Commands, mut now: Commands, operations: f64) -> Commands {
    for (name, times) in &mut now {
        *times = (*times - before.get(name).copied().unwrap_or_default()) / operations;
    }
    now
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_its_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), 2.5);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
    }

    #[tokio::test]
    async fn a_case_is_measured_by_the_servers_own_counts() -> Result<(), Failure> {
        let server = TestServer::start().await?;
        let russet = russet::Russet::connect(&server.url()).await?;
        let raw = |command: &'static str| {
            let russet = russet.clone();
            Work::new(move |_| {
                let russet = russet.clone();
                async move {
                    russet::raw::command(&russet, &[command]).await?;
                    Ok(Took::AllOfIt)
                }
            })
        };
        let case = Case::new("ground", "ping", raw("PING")).floor("TIME", raw("TIME")).batch(50);
        let effort = Effort { rounds: 3, round: Duration::from_millis(50) };
        let measured = measure(&server, &case, effort).await?;
        assert_eq!(measured.round_trips_per_op, 1.0);
        assert!((0.9..1.1).contains(&measured.commands_per_op), "{measured:?}");
        let batch = measured.batch.clone().ok_or("no batch")?;
        // The floor's are not among them.
        let (name, times) = &batch.commands[0];
        assert!(name == "ping" && (45.0..55.0).contains(times), "{batch:?}");
        assert!(!batch.commands.iter().any(|(name, _)| name == "time"), "{batch:?}");
        assert!(measured.ops_per_s > 0.0 && measured.server_cpu_us_per_op > 0.0, "{measured:?}");
        assert!(measured.p50_us <= measured.p99_us, "{measured:?}");
        assert!(measured.floor_ratio.is_some_and(|ratio| ratio > 0.1), "{measured:?}");
        Ok(())
    }
}
