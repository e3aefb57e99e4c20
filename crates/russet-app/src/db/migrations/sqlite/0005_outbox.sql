-- Messages to people that are to be handed over: e-mails and notifications. The key is the task's, so that a task that is
-- done twice leaves one message.
CREATE TABLE outbox (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    task       TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    subject    TEXT NOT NULL,
    content    TEXT NOT NULL,
    created_at REAL NOT NULL
) STRICT;
