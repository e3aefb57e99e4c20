-- Orders and the task that handles each, the first one that came.
CREATE TABLE orders (
    id         TEXT PRIMARY KEY,
    task       TEXT NOT NULL,
    created_at REAL NOT NULL
) STRICT;
