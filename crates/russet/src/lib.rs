//! russet
