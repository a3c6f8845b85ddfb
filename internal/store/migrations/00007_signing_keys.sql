-- When a signing key signs and when it stops verifying.

ALTER TABLE signing_keys ADD COLUMN signs_from BIGINT NOT NULL DEFAULT 0;
-- Null while the key has no successor.
ALTER TABLE signing_keys ADD COLUMN verifies_until BIGINT;

-- Until now the first key signed at once and each later one a minute after it
-- was made, and none ever stopped verifying. The life of a client token is at
-- most a day.
UPDATE signing_keys SET signs_from = created_at + CASE
    WHEN EXISTS (SELECT 1 FROM signing_keys older WHERE older.created_at < signing_keys.created_at) THEN 60000 ELSE 0 END;
UPDATE signing_keys SET verifies_until = 86400000 +
    (SELECT MIN(later.signs_from) FROM signing_keys later WHERE later.signs_from > signing_keys.signs_from);
