//! The house rules that a reader of the sources can check: who imports whom, and what each Lua file says of itself.
//! The table and the invariants stand in ARCHITECTURE.md.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what a test cannot do ends it"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The modules of the library, from the bottom up: each may use those of lower floors.
const FLOORS: [&[&str]; 4] = [
    &["error", "clock", "cluster_slot", "id", "codec", "backoff", "names", "cache_key", "calendar"],
    &["keys", "script", "client", "service", "listen", "wake"],
    &[
        "bloom",
        "counters",
        "inventory",
        "leaderboard",
        "lock",
        "pubsub",
        "queue",
        "rate_limit",
        "ring",
        "session",
        "window",
    ],
    &["cache"],
];

/// Floors whose modules may use each other; on the others they are strangers.
const OPEN_FLOORS: [usize; 2] = [0, 1];

#[test]
fn a_module_uses_only_modules_of_lower_floors() {
    let mut faults = Vec::new();
    let mut modules = BTreeSet::new();
    for (path, source) in library_sources() {
        let Some(module) = module_of(&path) else { continue };
        modules.insert(module.clone());
        for used in used_modules(&source) {
            if !may_use(&module, &used) {
                faults.push(format!("{}: {module} uses {used}", path.display()));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    let known: BTreeSet<_> = FLOORS.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(modules, known, "a module has no floor, or a floor has a module that is gone");
}

#[test]
fn the_import_rule_catches_what_it_forbids() {
    assert!(may_use("cache", "client") && may_use("client", "wake") && may_use("keys", "names"));
    assert!(!may_use("client", "cache") && !may_use("counters", "leaderboard"));
    assert!(!may_use("error", "keys"));
    let source = "use crate::{\n    client::{Call, Russet}, wake::inbox::Inbox,\n    keys::{Part, cache as keys},\n};\nfn f() { crate::wake::g() }\n\
                  #[cfg(test)]\nmod tests { use crate::cache::Cache; }";
    let used: Vec<_> = used_modules(source).into_iter().collect();
    assert_eq!(used, ["client", "keys", "wake"]);
}

#[test]
fn only_the_client_names_the_driver() {
    let names_it = |source: &str| without_tests(source).contains("redis::");
    let outside = library_sources()
        .into_iter()
        .filter(|(path, source)| names_it(source) && module_of(path).as_deref() != Some("client"))
        .map(|(path, _)| path);
    assert_eq!(outside.collect::<Vec<_>>(), Vec::<PathBuf>::new());
    for crate_name in ["russet-axum", "russet-app"] {
        let manifest = read(&workspace().join("crates").join(crate_name).join("Cargo.toml"));
        assert!(!manifest.contains("redis"), "{crate_name} depends on the driver");
    }
}

#[test]
fn only_keys_makes_keys() {
    let is_key = |line: &str| {
        let literals = line.split("format!(\"").skip(1).filter_map(|rest| rest.split('"').next());
        literals.into_iter().any(|text| {
            !text.contains(' ') && !text.contains("://") && text.contains(':') && text.contains('{')
        })
    };
    assert!(is_key("let key = format!(\"users:{id}\");"));
    assert!(!is_key("format!(\"{subject}: no answer\")") && !is_key("format!(\"unix://{path}\")"));
    let mut faults = Vec::new();
    for (path, source) in library_sources() {
        if module_of(&path).is_some_and(|module| module != "keys") {
            let lines = without_tests(&source).lines().filter(|line| is_key(line));
            faults.extend(lines.map(|line| format!("{}: {line}", path.display())));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

/// Work that outlives its caller without being a loop, each a single step with an end of its own; and the claim loops of a
/// worker, which end with its future.
const SPAWNS: [&str; 11] = [
    "cache/lease.rs",
    "cache/refresh.rs",
    "client/connection.rs",
    "client/control/mod.rs",
    "lock/held.rs",
    "lock/line.rs",
    "lock/redlock/round.rs",
    "queue/receive.rs",
    "queue/worker/claimer.rs",
    "queue/worker/run.rs",
    "service.rs",
];

#[test]
fn a_background_loop_is_a_service() {
    let spawning = library_sources().into_iter().filter(|(path, source)| {
        let source = without_tests(source);
        module_of(path).is_some() && (source.contains("spawn(") || source.contains("spawn_on("))
    });
    let spawning: Vec<_> = spawning.map(|(path, _)| path.display().to_string()).collect();
    assert_eq!(spawning, SPAWNS);
}

#[test]
fn each_lua_file_is_named_once_by_its_own_module() {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for (path, source) in library_sources() {
        for script in declared_scripts(&source) {
            let (module, file) = (module_of(&path).unwrap(), path.file_name().unwrap());
            assert_eq!(file, "scripts.rs", "{} names the Lua of {}", path.display(), script.name);
            assert_eq!(Some(module.as_str()), script.name.split('/').next(), "{}", script.name);
            assert_eq!(named.insert(script.name.clone(), module), None, "{} twice", script.name);
        }
        assert!(!source.contains("pub mod scripts") && !source.contains("pub(crate) mod scripts"));
    }
    let files: Vec<_> = lua_files().into_keys().filter(|name| !name.starts_with("lib/")).collect();
    assert_eq!(files, named.into_keys().collect::<Vec<_>>());
}

#[test]
fn each_script_keeps_the_rules() {
    let files = lua_files();
    let mut faults = Vec::new();
    let mut includes = BTreeSet::new();
    for (_, source) in library_sources() {
        for script in declared_scripts(&source) {
            let libraries: String =
                script.includes.iter().map(|lib| files[&format!("lib/{lib}")].as_str()).collect();
            faults.extend(script_faults(&script, &files[&script.name], &libraries));
            includes.extend(script.includes);
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    let libraries: BTreeSet<_> =
        files.keys().filter_map(|name| name.strip_prefix("lib/")).map(str::to_owned).collect();
    assert_eq!(libraries, includes, "a shared file that no script includes");
}

#[test]
fn the_script_rules_catch_what_they_forbid() {
    let fine = "-- Sets a value.\n-- KEYS[1] entry: string\n-- ARGV[1] value: text\n-- returns: 1\n-- refuses: nothing\n\
                local old = redis.call('GET', KEYS[1])\n\nredis.call('SET', KEYS[1], ARGV[1])\nreturn 1\n";
    let faults = |body: &str, flags: &str| {
        let script = Declared { name: "x/y".into(), includes: vec![], flags: flags.into() };
        script_faults(&script, body, "").join("; ")
    };
    assert_eq!(faults(fine, ""), "");
    for (bad, word) in [
        (fine.replace("-- returns: 1\n", ""), "returns"),
        (fine.replace("-- refuses: nothing\n", ""), "refuses"),
        (fine.replace("KEYS[1], ARGV[1]", "KEYS[2], ARGV[1]"), "KEYS"),
        (fine.replace("KEYS[1], ARGV[1]", "KEYS[1], ARGV[2]"), "ARGV"),
        (fine.replace("-- KEYS[1] entry: string", "-- KEYS[1] entry"), "type"),
        (fine.replace("KEYS[1])\n\n", "KEYS[1])\n"), "blank line"),
        (fine.replace("'GET'", "'KEYS'"), "KEYS or SCAN"),
        (fine.replace("SET', KEYS[1]", "SET', 'a' .. ARGV[1]"), "made in Lua"),
        (
            fine.replace(
                "return 1\n",
                "if old then return redis.error_reply('late') end\nreturn 1\n",
            ),
            "after it writes",
        ),
    ] {
        assert!(faults(&bad, "").contains(word), "{word}: {:?}", faults(&bad, ""));
    }
    assert!(faults(fine, "no-writes").contains("no-writes"));
    assert!(faults(fine, "allow-oom").contains("allow-oom"));
    let read = fine.replace("\nredis.call('SET', KEYS[1], ARGV[1])\n", "local x = ARGV[1]\n");
    assert!(faults(&read, "").contains("no-writes"));
    let drain = fine.replace("'SET', KEYS[1], ARGV[1]", "'LREM', KEYS[1], ARGV[1]");
    assert!(faults(&drain, "").contains("allow-oom"));
}

/// A `script!` in the sources.
struct Declared {
    name: String,
    includes: Vec<String>,
    flags: String,
}

fn declared_scripts(source: &str) -> Vec<Declared> {
    // A long one begins on a line of its own.
    let source = without_tests(source).replace("=\n    script!(", "= script!(");
    source
        .split("= script!(")
        .skip(1)
        .map(|rest| {
            let call = rest.split(");").next().unwrap();
            let quoted = |text: &str| text.split('"').nth(1).unwrap().to_owned();
            let after = |word| call.split(word).skip(1).map(quoted).collect::<Vec<_>>();
            Declared {
                name: quoted(call),
                includes: after("include "),
                flags: after("flags ").concat(),
            }
        })
        .collect()
}

/// Commands that change something, by what they do to the server's memory.
const ADDING: [&str; 13] = [
    "SETBIT",
    "SET",
    "ZADD",
    "ZINCRBY",
    "RPUSH",
    "LPUSH",
    "HSET",
    "HINCRBY",
    "SADD",
    "XADD",
    "INCRBY",
    "XGROUP CREATE",
    "XGROUP SETID",
];
const DRAINING: [&str; 24] = [
    // In place: what is there, is overwritten.
    "SETRANGE",
    "RENAME",
    "DEL",
    "UNLINK",
    "LPOP",
    "LREM",
    "ZREM",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
    "HDEL",
    "SREM",
    "PEXPIRE",
    "PEXPIREAT",
    "XDEL",
    "XTRIM",
    // They note who has a message, without which none is drained.
    "XREADGROUP",
    "XAUTOCLAIM",
    "XCLAIM",
    "XACK",
    "XGROUP DELCONSUMER",
    "XGROUP DESTROY",
    "ZPOPMAX",
    "ZPOPMIN",
    "LMPOP",
];
const READING: [&str; 30] = [
    "MGET",
    "HEXISTS",
    "HGETALL",
    "XLEN",
    "XRANGE",
    "GET",
    "GETBIT",
    "GETRANGE",
    "PTTL",
    "EXISTS",
    "TIME",
    "ZSCORE",
    "ZREVRANK",
    "ZREVRANGE",
    "ZCARD",
    "HGET",
    "HMGET",
    "HLEN",
    "LINDEX",
    "LRANGE",
    "LLEN",
    "PUBLISH",
    "HRANDFIELD",
    "XPENDING",
    "XINFO STREAM",
    "XINFO GROUPS",
    "XINFO CONSUMERS",
    "ZCOUNT",
    "ZMSCORE",
    "ZRANGE",
];

/// The commands that a Lua text calls; of those with a word more, both words.
fn commands(lua: &str) -> Vec<String> {
    let calls = lua.split("redis.call('").skip(1).filter_map(|rest| {
        let mut words = rest.split('\'');
        let command = words.next()?;
        let has_more = ["XGROUP", "XINFO"].contains(&command);
        Some(if has_more { format!("{command} {}", words.nth(1)?) } else { command.to_owned() })
    });
    calls.collect()
}

/// They add a lease, and nothing is drained without it; or what they add they take away elsewhere, or it is a mark of a few
/// bytes.
const CLAIMS: [&str; 26] = [
    "cache/behind_claim",
    "inventory/extend",
    "inventory/remove",
    "inventory/settle",
    "inventory/sweep",
    "lock/extend",
    "lock/force",
    "lock/release",
    "queue/cancel",
    "queue/keep",
    "queue/limit",
    "queue/pause",
    "queue/recover",
    "queue/reap",
    "queue/redrive",
    "queue/schedule/tick",
    "queue/settle",
    "queue/sweep",
    "queue/turn",
    "queue/watch",
    "session/finish",
    "session/hear",
    "session/rotate",
    "session/sign_out",
    "session/sweep",
    "session/validate",
];

fn script_faults(script: &Declared, source: &str, libraries: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let header: String = source.lines().take_while(|line| line.starts_with("--")).collect();
    let body: String = source
        .lines()
        .skip_while(|line| line.starts_with("--"))
        .map(|line| line.split("--").next().unwrap_or_default().to_owned() + "\n")
        .collect();

    for word in ["returns:", "refuses:"] {
        if !header.contains(&format!("-- {word}")) {
            faults.push(format!("the header does not say what it {word}"));
        }
    }
    for table in ["KEYS", "ARGV"] {
        let (said, used) = (numbered(&header, table), numbered(&body, table));
        if let Some(number) = used.difference(&said).next() {
            faults.push(format!("{table}[{number}] is used and not in the header"));
        }
        // What a script takes as a whole it need not number.
        if !body.contains(&format!("unpack({table}"))
            && let Some(number) = said.difference(&used).next()
        {
            faults.push(format!("{table}[{number}] is in the header and not used"));
        }
    }
    for entry in header.split("KEYS[").skip(1) {
        let types = ["string", "list", "zset", "hash", "set", "stream"];
        let of_type = entry
            .split_once(": ")
            .is_some_and(|(_, rest)| types.iter().any(|t| rest.starts_with(t)));
        if !of_type {
            faults.push(format!("a key without its type in the header: {entry}"));
        }
    }

    let all = format!("{libraries}{body}");
    let calls = commands(&all);
    let does = |commands: &[&str]| calls.iter().any(|call| commands.contains(&call.as_str()));
    for call in &calls {
        if ["KEYS", "SCAN", "HSCAN", "ZSCAN", "SSCAN"].contains(&call.as_str()) {
            faults.push("KEYS or SCAN in a script".into());
        } else if ![&ADDING[..], &DRAINING, &READING].concat().contains(&call.as_str()) {
            faults.push(format!("{call} is not known to the rules: add it to its list"));
        }
    }
    for key in all.split("redis.call('").skip(1).filter_map(|rest| rest.split(", ").nth(1)) {
        if key.contains("..") {
            faults.push(format!("a key made in Lua: {key}"));
        }
    }

    let (adds, drains) = (does(&ADDING), does(&DRAINING));
    let writes = adds || drains;
    if writes == script.flags.contains("no-writes") {
        faults.push("no-writes stands on the scripts that only read, and on all of them".into());
    }
    let claims = CLAIMS.contains(&script.name.as_str());
    if writes && (claims || drains && !adds) != script.flags.contains("allow-oom") {
        faults.push("allow-oom stands on the scripts that only drain, and on all of them".into());
    }
    if writes {
        faults.extend(order_fault(&body, libraries));
    }
    faults.iter().map(|fault| format!("{}: {fault}", script.name)).collect()
}

/// Reads and refusals, a blank line, then writes that cannot fail.
fn order_fault(body: &str, libraries: &str) -> Option<String> {
    let Some((decides, acts)) = body.split_once("\n\n").or_else(|| {
        // Nothing to read or refuse first.
        body.strip_prefix('\n').map(|acts| ("", acts))
    }) else {
        return Some("no blank line before the first write".into());
    };
    // A shared function writes when it is called; a function is defined where it stands.
    let names = libraries.split("local function ").skip(1);
    let shared: Vec<_> = names
        .filter_map(|rest| Some((rest.split('(').next()?, rest.split("\nend").next()?)))
        .filter(|(_, function)| writes_in(function))
        .map(|(name, _)| format!("{name}("))
        .collect();
    let mut inside_function = false;
    for line in decides.lines() {
        inside_function |= line.contains("local function ");
        let calls_shared = shared.iter().any(|name| line.contains(name.as_str()));
        if !inside_function && (writes_in(line) || calls_shared) {
            return Some(format!("a write before the blank line: {line}"));
        }
        inside_function &= line != "end";
    }
    if acts.contains("then return") || acts.contains("error_reply") {
        return Some("it refuses after it writes".into());
    }
    None
}

fn writes_in(lua: &str) -> bool {
    let writes = [&ADDING[..], &DRAINING].concat();
    commands(lua).iter().any(|command| writes.contains(&command.as_str()))
}

/// The numbers behind `KEYS[` or `ARGV[` in a text.
fn numbered(text: &str, table: &str) -> BTreeSet<u32> {
    let start = format!("{table}[");
    text.split(&start)
        .skip(1)
        .filter_map(|rest| {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..digits].parse().ok()
        })
        .collect()
}

fn may_use(module: &str, used: &str) -> bool {
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    match (floor(module), floor(used)) {
        _ if module == used => true,
        (Some(here), Some(there)) if here == there => OPEN_FLOORS.contains(&here),
        (Some(here), Some(there)) => there < here,
        _ => false,
    }
}

/// The modules that `use crate::…` and `crate::…` name, tests left out.
fn used_modules(source: &str) -> BTreeSet<String> {
    let source = without_tests(source);
    let mut used = BTreeSet::new();
    for rest in source.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 1;
                let mut name = String::new();
                // The rest of a path is no module of the crate's root.
                let mut rest_of_path = false;
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' | ':' | '\n' | ' ' if depth == 1 => {
                            if !name.is_empty() && c == ':' && !rest_of_path {
                                used.insert(std::mem::take(&mut name));
                            }
                            rest_of_path = c == ':' || (rest_of_path && c != ',');
                            if c == ',' {
                                name.clear();
                            }
                        }
                        c if depth == 1 => name.push(c),
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            None => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                used.insert(rest[..end.unwrap_or(rest.len())].to_owned());
            }
        }
    }
    used.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    used
}

fn without_tests(source: &str) -> &str {
    source.split("\n#[cfg(test)]\n").next().unwrap_or(source)
}

/// The module at the crate's root that a file belongs to; `None` for the root itself and for the test support.
fn module_of(path: &Path) -> Option<String> {
    let first = path.components().next()?.as_os_str().to_str()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "testing"].contains(&module)).then(|| module.to_owned())
}

fn library_sources() -> BTreeMap<PathBuf, String> {
    let mut sources = files(&workspace().join("crates/russet/src"), "rs");
    // A module's tests in a file of their own.
    sources.retain(|path, _| !path.ends_with("tests.rs"));
    sources
}

fn lua_files() -> BTreeMap<String, String> {
    let files = files(&workspace().join("crates/russet/lua"), "lua");
    files
        .into_iter()
        .map(|(path, text)| (path.with_extension("").display().to_string(), text))
        .collect()
}

fn files(folder: &Path, ending: &str) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), read(&path));
            }
        }
    }
    found
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
