-- The order number of the last queued write of a user (--user-writes behind), also of one that was deleted: a late
-- writer must not put an older row back.
CREATE TABLE user_writes (
    id       INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;
