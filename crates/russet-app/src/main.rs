//! The program `russet`.

use std::process::ExitCode;

/// Tasks and answers are made on one thread and end on another, where the allocator of glibc makes threads wait for each
/// other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    russet_app::cli::main()
}
