//! The program `russet`.

use std::process::ExitCode;

fn main() -> ExitCode {
    russet_app::cli::main()
}
