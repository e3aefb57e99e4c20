-- No AUTOINCREMENT: with it, one row with the largest id would end all further inserts.
CREATE TABLE users (
    id         INTEGER PRIMARY KEY CHECK (id > 0),
    name       TEXT NOT NULL,
    email      TEXT NOT NULL,
    created_at REAL NOT NULL
) STRICT;
