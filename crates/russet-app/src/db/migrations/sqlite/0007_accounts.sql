-- Who may sign in: the password as argon2id has hashed it, the roles with spaces between them.
CREATE TABLE accounts (
    name       TEXT PRIMARY KEY,
    password   TEXT NOT NULL,
    roles      TEXT NOT NULL,
    created_at REAL NOT NULL
) STRICT;
