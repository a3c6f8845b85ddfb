-- How many codes of a user were wrong since a time: unlike the failures of an
-- authenticator, a right code does not end the count.
ALTER TABLE users ADD COLUMN wrong_codes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN wrong_codes_since BIGINT NOT NULL DEFAULT 0;
