-- Users whose cached copy may be older than their record: written in one transaction with the record, removed some
-- time after the copy was dropped. AUTOINCREMENT: removing a number never removes a later one.
CREATE TABLE stale_copies (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL
) STRICT;
