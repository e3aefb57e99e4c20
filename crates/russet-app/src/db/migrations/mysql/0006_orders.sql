-- Orders and the task that handles each, the first one that came.
CREATE TABLE orders (
    id         VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    task       VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DOUBLE NOT NULL
)
