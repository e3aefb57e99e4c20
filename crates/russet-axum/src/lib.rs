//! russet-axum
