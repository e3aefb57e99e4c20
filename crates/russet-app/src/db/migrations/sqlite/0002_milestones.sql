-- What happens once in the life of a database, by name.
CREATE TABLE milestones (
    name TEXT PRIMARY KEY
) STRICT;
