-- Browsers that users trust. A browser's token has two random parts: one stays, and
-- one changes at each use. Only SHA-256 hashes of them are stored.
CREATE TABLE trusted_browsers (
    tenant_id    TEXT   NOT NULL,
    browser_id   TEXT   NOT NULL,
    user_id      TEXT   NOT NULL,
    fixed_hash   BYTEA  NOT NULL,
    turn_hash    BYTEA  NOT NULL,
    -- Of the user's tokens when the browser was trusted: trust ends with them.
    epoch        BIGINT NOT NULL,
    -- What the backend said of the device that used it last.
    ip_address   TEXT   NOT NULL DEFAULT '',
    user_agent   TEXT   NOT NULL DEFAULT '',
    trusted_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, browser_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id) ON DELETE CASCADE
);
CREATE INDEX trusted_browsers_user ON trusted_browsers (tenant_id, user_id, trusted_at);
CREATE INDEX trusted_browsers_trusted ON trusted_browsers (tenant_id, trusted_at);

-- Whether the state is ALLOW, instead of CHALLENGE_REQUIRED, only because the
-- browser was trusted.
ALTER TABLE actions ADD COLUMN trusted BOOLEAN NOT NULL DEFAULT FALSE;
-- The hash of the changing part of the token that the action was tracked with, so
-- that tracking it again is not taken for a copy of the token.
ALTER TABLE actions ADD COLUMN browser_turn BYTEA;
