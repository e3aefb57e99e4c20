-- Messages to people that are to be handed over: e-mails and notifications. The key is the task's, so that a task that is
-- done twice leaves one message.
CREATE TABLE outbox (
    number     BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    task       VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
    kind       VARCHAR(20) NOT NULL,
    recipient  VARCHAR(254) NOT NULL,
    subject    VARCHAR(200) NOT NULL,
    content    TEXT NOT NULL,
    created_at DOUBLE NOT NULL
) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
