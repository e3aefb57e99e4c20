//! A server, and the commands of operators on it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use russet::Russet;
use russet::testing::TestServer;
use serde_json::Value;

use crate::support::program::{DataFolder, finished, write};

pub struct Stage {
    pub russet: Russet,
    pub folder: DataFolder,
    server: TestServer,
    command: &'static str,
}

/// For `russet COMMAND`.
pub async fn stage(command: &'static str) -> Stage {
    let server = TestServer::start().await.unwrap();
    let russet = Russet::connect(&server.url()).await.unwrap();
    Stage { russet, folder: DataFolder::new(), server, command }
}

impl Stage {
    /// The exit code and all that was printed.
    pub async fn run(&self, words: &[&str]) -> (i32, String) {
        let url = self.server.url();
        let arguments = [words, &["--redis-url", &url]].concat();
        finished(&self.folder.command(self.command, &arguments)).await
    }

    /// What a command prints that does what it is asked.
    pub async fn text(&self, words: &[&str]) -> String {
        let (code, output) = self.run(words).await;
        assert_eq!(code, 0, "{words:?}: {output}");
        output.trim_end().to_owned()
    }

    pub async fn json(&self, words: &[&str]) -> Value {
        self.json_of(0, words).await
    }

    /// What a command prints that ends with this code.
    pub async fn json_of(&self, expected: i32, words: &[&str]) -> Value {
        let (code, output) = self.run(&[words, &["--json"]].concat()).await;
        assert_eq!(code, expected, "{words:?}: {output}");
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{words:?}: {error}: {output}"))
    }

    /// The same with something at its standard input.
    pub async fn json_from(&self, expected: i32, words: &[&str], input: &str) -> Value {
        let url = self.server.url();
        let arguments = [words, &["--json", "--redis-url", &url]].concat();
        let mut command = self.folder.command(self.command, &arguments);
        let input = input.to_owned();
        let done = tokio::task::spawn_blocking(move || {
            let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
            process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            process.wait_with_output().unwrap()
        });
        let output = done.await.unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{printed}{errors}");
        serde_json::from_str(&printed).unwrap()
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A file of this text.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.beside(name);
        write(&path, text);
        path
    }
}
