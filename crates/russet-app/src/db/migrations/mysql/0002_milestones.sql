-- What happens once in the life of a database, by name.
CREATE TABLE milestones (
    name VARCHAR(100) NOT NULL PRIMARY KEY
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
