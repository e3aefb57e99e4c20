//! What the sources say that a block can do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The public methods in the `impl` blocks of a block's type, in all files of its folder, as `Cache::get`.
pub fn public_methods(block: &str) -> BTreeSet<String> {
    let folder = match block {
        "Topic" | "Group" | "TopicDelivery" => "pubsub".to_owned(),
        "Delivery" => "queue".to_owned(),
        "Scheduler" => "queue/schedule".to_owned(),
        "Lock" | "LockGuard" | "ReentrantLock" | "ReentrantGuard" | "Redlock" | "RedlockGuard" => {
            "lock".to_owned()
        }
        "RateLimiter" => "rate_limit".to_owned(),
        "SlidingWindow" => "window".to_owned(),
        "Sessions" | "Session" | "Sso" => "session".to_owned(),
        _ => block.to_lowercase(),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let mut names = BTreeSet::new();
    for source in sources(&folder) {
        let mut inside = false;
        for line in source.lines() {
            if line.starts_with("impl") {
                let header = line.trim_end_matches(" {");
                let whose = header.rsplit_once("> ").map_or(header, |(_, whose)| whose);
                let whose = whose.trim_start_matches("impl ").split('<').next();
                inside = !header.contains(" for ") && whose == Some(block);
            }
            let line = line.trim_start();
            let public = line.strip_prefix("pub async fn ").or(line.strip_prefix("pub fn "));
            if let Some(rest) = public.filter(|_| inside) {
                let method = rest.split(['(', '<']).next().unwrap_or_default();
                names.insert(format!("{block}::{method}"));
            }
        }
    }
    names
}

fn sources(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![fs::read_to_string(path).unwrap()],
    };
    entries.flat_map(read).collect()
}
