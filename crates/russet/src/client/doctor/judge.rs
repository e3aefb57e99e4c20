//! What the facts mean.

use super::{
    Found,
    Severity::{self, Critical, Note, Warning},
    facts::Facts,
};

/// The oldest version whose commands russet uses.
const OLDEST: (u32, u32) = (7, 0);
/// A clock that is further off makes the first call of a minute go wrong, and expiry times odd.
const CLOCK_MS: i64 = 1_000;
/// More scripts than this are made by a program, with values in their texts.
const SCRIPTS: u64 = 500;
/// The part of a limit, in percent, that is too near to it.
const NEAR: u64 = 80;

/// Everything that is not as it should be.
pub(super) fn judge(facts: &Facts) -> Vec<Found> {
    let mut found = Findings(Vec::new());
    permissions(facts, &mut found);
    version(facts, &mut found);
    role(facts, &mut found);
    persistence(facts, &mut found);
    memory(facts, &mut found);
    replication(facts, &mut found);
    connections(facts, &mut found);
    cluster(facts, &mut found);
    found.0
}

struct Findings(Vec<Found>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        check: &'static str,
        text: impl Into<String>,
        advice: &'static str,
    ) {
        self.0.push(Found { severity, check, text: text.into(), advice });
    }
}

fn permissions(facts: &Facts, found: &mut Findings) {
    if !facts.refused.is_empty() {
        let text = format!(
            "the user may not run {}, so some things were not examined",
            facts.refused.join(" and ")
        );
        found.add(
            Note,
            "permissions",
            text,
            "Run the doctor as a user who may; the application needs neither",
        );
    }
    if facts.config.get("requirepass").is_some_and(String::is_empty) {
        let text = "the default user needs no password";
        found.add(Note, "password", text, "Set one, unless nobody else can reach the server");
    }
}

fn version(facts: &Facts, found: &mut Findings) {
    // Valkey tells the version of Redis that it is compatible with.
    let version = facts.info("redis_version");
    let mut parts = version.split('.').map_while(|part| part.parse().ok());
    if let (Some(major), Some(minor)) = (parts.next(), parts.next())
        && (major, minor) < OLDEST
    {
        let text = format!("version {version}, and russet uses commands of 7.0");
        found.add(Critical, "version", text, "Upgrade to Redis 7.0 or Valkey");
    }
    let scripts = facts.number("number_of_cached_scripts");
    if scripts > SCRIPTS {
        let text = format!("{scripts} scripts are cached, and they are never dropped");
        found.add(
            Warning,
            "scripts",
            text,
            "Find the program that writes values into its scripts' texts",
        );
    }
    if facts.clock_ahead_ms.abs() > CLOCK_MS + facts.clock_doubt_ms {
        let text = format!("its clock is {} ms from ours", facts.clock_ahead_ms);
        found.add(Warning, "clock", text, "Let both machines follow a time server");
    }
}

fn role(facts: &Facts, found: &mut Findings) {
    if facts.info("role") == "slave" {
        let text = "it is a replica and takes no writes";
        found.add(Critical, "role", text, "Connect to the primary, or to its sentinels");
        if facts.info("master_link_status") == "down" {
            let text = "its link to the primary is down, and what it serves grows old";
            found.add(Critical, "replication", text, "Look at its log, and at the primary");
        }
        if facts.config("replica-read-only") == "no" {
            let text = "it takes writes, which its primary never sees";
            found.add(Warning, "replication", text, "Set replica-read-only yes");
        }
    }
    if facts.number("loading") == 1 {
        found.add(Critical, "role", "it is loading its data", "Wait; calls are refused meanwhile");
    }
}

fn persistence(facts: &Facts, found: &mut Findings) {
    if facts.info.is_empty() {
        return;
    }
    let appends = facts.info("aof_enabled") == "1";
    // Not told: the user may not see the settings.
    let snapshots = facts.config.get("save").is_none_or(|save| !save.is_empty());
    match (appends, snapshots) {
        (false, false) => found.add(
            Warning,
            "persistence",
            "nothing is written to disk: a restart loses everything",
            "Set appendonly yes, unless all of it is a cache",
        ),
        (false, true) => found.add(
            Warning,
            "persistence",
            "only snapshots are written: a restart loses what came after the last one",
            "Set appendonly yes, unless all of it is a cache",
        ),
        (true, _) => match facts.config("appendfsync") {
            "no" => found.add(
                Warning,
                "persistence",
                "the append-only file is synced when the kernel likes: a power cut loses half a minute",
                "Set appendfsync everysec, or always",
            ),
            "everysec" => found.add(
                Note,
                "persistence",
                "the append-only file is synced each second: a power cut loses up to two",
                "Set appendfsync always where that is too much, or let writes wait for a replica",
            ),
            _ => {}
        },
    }
    for (field, what) in [
        ("rdb_last_bgsave_status", "the last snapshot"),
        ("aof_last_write_status", "the last write to the append-only file"),
        ("aof_last_bgrewrite_status", "the last rewrite of the append-only file"),
    ] {
        if facts.info(field) == "err" {
            let text = format!("{what} failed");
            found.add(Critical, "persistence", text, "Look at the server's log and at its disk");
        }
    }
    if facts.config("stop-writes-on-bgsave-error") == "no" {
        let text = "writes go on when snapshots fail, and nobody notices";
        found.add(Warning, "persistence", text, "Set stop-writes-on-bgsave-error yes");
    }
}

fn memory(facts: &Facts, found: &mut Findings) {
    if facts.info.is_empty() {
        return;
    }
    let (used, most) = (facts.number("used_memory"), facts.number("maxmemory"));
    let policy = facts.info("maxmemory_policy");
    if most == 0 {
        let text = "its memory has no limit: the kernel ends it when there is none left";
        found.add(Warning, "memory", text, "Set maxmemory below what the machine has");
    } else if used.saturating_mul(100) / most >= NEAR {
        let text = format!("{used} of {most} bytes are used");
        found.add(Warning, "memory", text, "Give it more, or find out what grows");
    }
    if policy != "noeviction" {
        let text = format!(
            "when its memory is full it drops keys ({policy}), locks and counts as well as cached values"
        );
        found.add(
            Warning,
            "eviction",
            text,
            "Set maxmemory-policy noeviction, unless all of it is a cache",
        );
    }
}

fn replication(facts: &Facts, found: &mut Findings) {
    if facts.info("role") != "master" {
        return;
    }
    let replicas = facts.number("connected_slaves");
    if replicas == 0 {
        let text = "it has no replica: its machine's end is the data's";
        found.add(Note, "replication", text, "Add one, with sentinels or in a Cluster");
    }
    let behind = (0..replicas).filter_map(|at| facts.info.get(&format!("slave{at}")));
    for replica in behind.filter(|replica| !replica.contains("state=online")) {
        let text = format!("a replica is not in step: {replica}");
        found.add(Warning, "replication", text, "Look at the replica's log");
    }
}

fn connections(facts: &Facts, found: &mut Findings) {
    let most = facts.config("maxclients").parse().unwrap_or(facts.number("maxclients"));
    let open = facts.number("connected_clients");
    if most > 0 && open.saturating_mul(100) / most >= NEAR {
        let text = format!("{open} of {most} connections are open");
        found.add(
            Warning,
            "connections",
            text,
            "Raise maxclients, or count the connections of each process",
        );
    }
    let idle: u64 = facts.config("timeout").parse().unwrap_or_default();
    if idle > 0 {
        let text = format!(
            "it closes connections that are idle for {idle} s, of which each costs a reconnect"
        );
        found.add(Note, "connections", text, "Set timeout 0");
    }
}

fn cluster(facts: &Facts, found: &mut Findings) {
    let is = |name: &str| facts.cluster.get(name).map(String::as_str);
    if is("cluster_state").is_some_and(|state| state != "ok") {
        let text = format!(
            "the Cluster does not serve: {} slots of 16384 have a node",
            is("cluster_slots_ok").unwrap_or("some")
        );
        found.add(
            Critical,
            "cluster",
            text,
            "Bring the missing nodes back, or give their slots away",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(info: &str, config: &str) -> Facts {
        let read = |text: &str| {
            let pairs = text.split(", ").filter_map(|pair| pair.split_once('='));
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let well = "redis_version=7.0.15, role=master, aof_enabled=1, maxmemory=1000, used_memory=1, \
            maxmemory_policy=noeviction, connected_slaves=1, slave0=ip=x,state=online";
        let mut facts =
            Facts { info: read(well), config: read("appendfsync=always"), ..Facts::default() };
        facts.info.extend::<std::collections::HashMap<_, _>>(read(info));
        facts.config.extend::<std::collections::HashMap<_, _>>(read(config));
        facts
    }

    fn checks(facts: &Facts) -> Vec<(Severity, &'static str)> {
        judge(facts).iter().map(|found| (found.severity, found.check)).collect()
    }

    #[test]
    fn a_server_that_is_well_has_no_findings() {
        assert_eq!(checks(&facts("", "")), []);
    }

    #[test]
    fn what_no_test_can_plant_is_found_too() {
        let cases = [
            (facts("redis_version=6.2.7", ""), (Critical, "version")),
            (facts("rdb_last_bgsave_status=err", ""), (Critical, "persistence")),
            (facts("loading=1", ""), (Critical, "role")),
            (facts("slave0=ip=x,state=wait_bgsave", ""), (Warning, "replication")),
            (Facts { clock_ahead_ms: -1_500, ..facts("", "") }, (Warning, "clock")),
        ];
        for (facts, expected) in cases {
            assert_eq!(checks(&facts), [expected]);
        }
        let doubtful = Facts { clock_ahead_ms: 1_500, clock_doubt_ms: 600, ..facts("", "") };
        assert_eq!(checks(&doubtful), [], "it took longer to ask than it is off");
    }
}
