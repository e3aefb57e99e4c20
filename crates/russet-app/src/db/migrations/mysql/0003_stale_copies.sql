-- Users whose cached copy may be older than their record: written in one transaction with the record, removed some
-- time after the copy was dropped. Numbers are never given twice, so that removing one never removes a later one.
CREATE TABLE stale_copies (
    number  BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id BIGINT NOT NULL
)
