//! russet
fn main() {}
