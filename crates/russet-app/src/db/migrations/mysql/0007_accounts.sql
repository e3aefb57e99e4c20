-- Who may sign in: the password as argon2id has hashed it, the roles with spaces between them.
CREATE TABLE accounts (
    name       VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    password   VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    roles      VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DOUBLE NOT NULL
)
