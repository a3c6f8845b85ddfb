-- What the operator's portal needs: who is signed in, and lists that stay
-- quick however long they grow.

-- The operator's password. There is one.
CREATE TABLE portal_password (
    password_id INTEGER NOT NULL PRIMARY KEY,
    -- Argon2id, with salt and parameters.
    hash        TEXT    NOT NULL,
    -- Whether a person thought of it; else it is random.
    chosen      BOOLEAN NOT NULL,
    changed_at  BIGINT  NOT NULL
);

-- Sessions and known browsers by the SHA-256 of what their cookie holds.
CREATE TABLE portal_sessions (
    session_sum BYTEA  NOT NULL PRIMARY KEY,
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL
);
CREATE TABLE portal_browsers (
    browser_sum BYTEA  NOT NULL PRIMARY KEY,
    seen_at     BIGINT NOT NULL
);

-- One row a wrong password, by where it came from.
CREATE TABLE portal_attempts (
    source     TEXT   NOT NULL,
    attempt_at BIGINT NOT NULL
);
CREATE INDEX portal_attempts_source ON portal_attempts (source, attempt_at);
CREATE INDEX portal_attempts_at ON portal_attempts (attempt_at);

-- How many actions came to a state within an hour. Counting the rows of
-- actions would read all of them. Several shards let transactions count side
-- by side.
CREATE TABLE action_counts (
    tenant_id TEXT    NOT NULL,
    -- The hour's first millisecond.
    hour      BIGINT  NOT NULL,
    action    TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    shard     INTEGER NOT NULL,
    n         BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, hour, action, state, shard)
);
-- An action that has succeeded was challenged before.
INSERT INTO action_counts (tenant_id, hour, action, state, shard, n)
    SELECT tenant_id, hour, action, state, 0, COUNT(*) FROM (
        SELECT tenant_id, state_updated_at / 3600000 * 3600000 AS hour, action, state FROM actions
        UNION ALL
        SELECT tenant_id, created_at / 3600000 * 3600000, action, 'CHALLENGE_REQUIRED' FROM actions
        WHERE state = 'CHALLENGE_SUCCEEDED'
    ) entered
    GROUP BY tenant_id, hour, action, state;

-- Each index that served only the deletion of what is old serves a tenant's
-- lists too.
DROP INDEX actions_created;
CREATE INDEX actions_tenant ON actions (tenant_id, created_at);
CREATE INDEX actions_state ON actions (tenant_id, action, state, created_at);
DROP INDEX audit_at;
CREATE INDEX audit_action ON audit (tenant_id, action, kind, at DESC, audit_id DESC);
