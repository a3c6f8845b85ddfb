-- Times are Unix milliseconds. An empty text is an absent attribute. Every row
-- has its tenant. The same text serves SQLite and PostgreSQL: SQLite takes any
-- name for a type, and keeps bytes as bytes in a BYTEA.

-- +goose Up
CREATE TABLE encryption_keys (
    key_id     TEXT   NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    tenant_id             TEXT    NOT NULL,
    user_id               TEXT    NOT NULL,
    email                 TEXT    NOT NULL DEFAULT '',
    email_verified        BOOLEAN NOT NULL DEFAULT FALSE,
    phone_number          TEXT    NOT NULL DEFAULT '',
    phone_number_verified BOOLEAN NOT NULL DEFAULT FALSE,
    username              TEXT    NOT NULL DEFAULT '',
    display_name          TEXT    NOT NULL DEFAULT '',
    locale                TEXT    NOT NULL DEFAULT '',
    created_at            BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);

CREATE TABLE authenticators (
    tenant_id             TEXT    NOT NULL,
    user_authenticator_id TEXT    NOT NULL,
    user_id               TEXT    NOT NULL,
    verification_method   TEXT    NOT NULL,
    -- AES-256-GCM, bound to tenant, user and authenticator.
    secret                BYTEA   NOT NULL,
    key_id                TEXT    NOT NULL REFERENCES encryption_keys (key_id),
    algorithm             TEXT    NOT NULL,
    digits                INTEGER NOT NULL,
    period                INTEGER NOT NULL,
    -- The action whose token began the enrollment.
    action                TEXT    NOT NULL,
    idempotency_key       TEXT    NOT NULL,
    created_at            BIGINT  NOT NULL,
    -- Null while the enrollment is pending.
    verified_at           BIGINT,
    last_verified_at      BIGINT,
    -- The newest step that was accepted; it only grows.
    last_step             BIGINT  NOT NULL DEFAULT -1,
    -- Refused codes in a row.
    failures              INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, user_authenticator_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id) ON DELETE CASCADE
);
CREATE INDEX authenticators_user ON authenticators (tenant_id, user_id, created_at);
CREATE UNIQUE INDEX authenticators_pending
    ON authenticators (tenant_id, user_id, action, idempotency_key) WHERE verified_at IS NULL;

-- One row a refused code, for the sliding window.
CREATE TABLE failures (
    tenant_id             TEXT   NOT NULL,
    user_authenticator_id TEXT   NOT NULL,
    failed_at             BIGINT NOT NULL,
    FOREIGN KEY (tenant_id, user_authenticator_id)
        REFERENCES authenticators (tenant_id, user_authenticator_id) ON DELETE CASCADE
);
CREATE INDEX failures_window ON failures (tenant_id, user_authenticator_id, failed_at);

CREATE TABLE actions (
    tenant_id             TEXT   NOT NULL,
    user_id               TEXT   NOT NULL,
    action                TEXT   NOT NULL,
    idempotency_key       TEXT   NOT NULL,
    state                 TEXT   NOT NULL,
    created_at            BIGINT NOT NULL,
    state_updated_at      BIGINT NOT NULL,
    verification_method   TEXT   NOT NULL DEFAULT '',
    user_authenticator_id TEXT   NOT NULL DEFAULT '',
    ip_address            TEXT   NOT NULL DEFAULT '',
    user_agent            TEXT   NOT NULL DEFAULT '',
    device_id             TEXT   NOT NULL DEFAULT '',
    redirect_url          TEXT   NOT NULL DEFAULT '',
    -- A JSON object.
    custom                TEXT   NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, user_id, action, idempotency_key)
);

-- Webhook events, each written by the transaction that it tells of.
CREATE TABLE outbox (
    tenant_id  TEXT    NOT NULL,
    event_id   TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    -- The envelope as it is signed and sent.
    body       BYTEA   NOT NULL,
    created_at BIGINT  NOT NULL,
    -- PENDING, DELIVERED or DEAD.
    state      TEXT    NOT NULL DEFAULT 'PENDING',
    -- When it is to be sent; while it is being sent, when the claim on it
    -- ends. Null once it is not PENDING.
    due_at     BIGINT,
    -- Attempts that failed.
    failures   INTEGER NOT NULL DEFAULT 0,
    -- When it was delivered or given up.
    ended_at   BIGINT,
    PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_ended ON outbox (ended_at) WHERE ended_at IS NOT NULL;

-- +goose Down
DROP TABLE outbox;
DROP TABLE actions;
DROP TABLE failures;
DROP TABLE authenticators;
DROP TABLE users;
DROP TABLE encryption_keys;
