//! Every program in `examples/` runs without any setting, shows what it promises, and leaves nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use russet::testing::{WorkerProcess, eventually};

/// An example starts a server and does a few thousand calls: well below a second, without other load.
const DEADLINE: Duration = Duration::from_secs(120);

/// How many run at the same time.
const AT_A_TIME: usize = 2;

#[tokio::test]
async fn every_example_runs_without_settings_and_says_what_it_has_shown() {
    let names = examples();
    assert!(names.len() >= 3, "{names:?}");
    stream::iter(names).for_each_concurrent(AT_A_TIME, run).await;
}

/// The examples by the files of the folder, so that none is left out.
fn examples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Where cargo puts the program: `target/<profile>/examples/`, beside the `deps/` of this test.
fn program(example: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join(format!("{example}{}", env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is not built: `cargo test` builds the examples, `cargo test --test examples` alone does not. \
         An example also needs its [[example]] in Cargo.toml, with features that are on",
        program.display()
    );
    program
}

async fn run(example: String) {
    // The servers of an example make their folders here, which shows what they leave.
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(program(&example));
    command.env_remove("REDIS_URL").env("TMPDIR", scratch.path());
    let process = WorkerProcess::command(&command).unwrap();
    let status = tokio::time::timeout(DEADLINE, process.wait()).await;

    let output = process.output();
    let status =
        status.unwrap_or_else(|_| panic!("{example} still runs after {DEADLINE:?}:\n{output}"));
    assert!(status.unwrap().success(), "{example} failed:\n{output}");
    let last = output.lines().last().unwrap_or_default();
    assert!(last.starts_with("shown: "), "the last line of {example} is not `shown: …`:\n{output}");
    eventually(DEADLINE, async || left_behind(scratch.path(), &example)).await;
}

/// Folders and processes of the servers that the example started. What it started is ended by a watchdog, which
/// may take a moment.
fn left_behind(scratch: &Path, example: &str) -> Result<(), String> {
    let folders = fs::read_dir(scratch).unwrap().count();
    let processes = processes_in(scratch);
    if folders == 0 && processes.is_empty() {
        return Ok(());
    }
    Err(format!("{example} left {folders} folders and the processes {processes:?}"))
}

/// The processes that work in this folder, as each server does in its own; none where the system does not tell.
fn processes_in(folder: &Path) -> Vec<String> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    all.filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|process| {
            fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
        })
        .map(|process| process.display().to_string())
        .collect()
}
