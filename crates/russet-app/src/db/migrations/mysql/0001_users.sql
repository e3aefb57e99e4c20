-- No CHECK (id > 0): neither server takes one on a column that numbers itself.
CREATE TABLE users (
    id         BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name       VARCHAR(100) NOT NULL,
    email      VARCHAR(254) NOT NULL,
    created_at DOUBLE NOT NULL
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
