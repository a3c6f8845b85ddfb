-- Times are Unix milliseconds. An empty text is an absent attribute. Every row
-- has its tenant. The same text serves SQLite and PostgreSQL: SQLite takes any
-- name for a type, and keeps bytes as bytes in a BYTEA.

CREATE TABLE encryption_keys (
    key_id     TEXT   NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);

-- Secrets are sealed with AES-256-GCM and bound to their row.
CREATE TABLE signing_keys (
    kid        TEXT   NOT NULL PRIMARY KEY,
    secret     BYTEA  NOT NULL,
    key_id     TEXT   NOT NULL REFERENCES encryption_keys (key_id),
    created_at BIGINT NOT NULL
);

CREATE TABLE tenants (
    tenant_id     TEXT   NOT NULL PRIMARY KEY,
    -- A JSON object.
    authenticator TEXT   NOT NULL,
    webhook_url   TEXT   NOT NULL DEFAULT '',
    created_at    BIGINT NOT NULL
);

-- What an operator set for an action: a JSON object.
CREATE TABLE action_settings (
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id),
    action    TEXT NOT NULL,
    settings  TEXT NOT NULL,
    PRIMARY KEY (tenant_id, action)
);

CREATE TABLE api_secrets (
    tenant_id  TEXT   NOT NULL REFERENCES tenants (tenant_id),
    secret_id  TEXT   NOT NULL PRIMARY KEY,
    -- SHA-256, to find it by.
    secret_sum BYTEA  NOT NULL UNIQUE,
    secret     BYTEA  NOT NULL,
    key_id     TEXT   NOT NULL REFERENCES encryption_keys (key_id),
    created_at BIGINT NOT NULL,
    -- Null while it is in force without end.
    expires_at BIGINT
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
    -- The verification method that the user prefers.
    default_method        TEXT    NOT NULL DEFAULT '',
    -- A JSON object.
    custom                TEXT    NOT NULL DEFAULT '{}',
    -- Tells this user from a deleted one of the same id: tokens carry it.
    incarnation           TEXT    NOT NULL,
    created_at            BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX users_email ON users (tenant_id, email, user_id) WHERE email <> '';
CREATE INDEX users_phone_number ON users (tenant_id, phone_number, user_id) WHERE phone_number <> '';
CREATE INDEX users_username ON users (tenant_id, username, user_id) WHERE username <> '';

CREATE TABLE authenticators (
    tenant_id             TEXT    NOT NULL,
    user_authenticator_id TEXT    NOT NULL,
    user_id               TEXT    NOT NULL,
    verification_method   TEXT    NOT NULL,
    -- Of an authenticator app: AES-256-GCM, bound to tenant, user and
    -- authenticator; and how codes are made. Other methods have none.
    secret                BYTEA,
    key_id                TEXT    REFERENCES encryption_keys (key_id),
    algorithm             TEXT    NOT NULL DEFAULT '',
    digits                INTEGER NOT NULL DEFAULT 0,
    period                INTEGER NOT NULL DEFAULT 0,
    -- Of other methods: where a challenge goes.
    email                 TEXT    NOT NULL DEFAULT '',
    phone_number          TEXT    NOT NULL DEFAULT '',
    is_default            BOOLEAN NOT NULL DEFAULT FALSE,
    -- The action whose token began the enrollment; empty for one that a
    -- backend verified.
    action                TEXT    NOT NULL DEFAULT '',
    idempotency_key       TEXT    NOT NULL DEFAULT '',
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
    outcome               TEXT   NOT NULL DEFAULT '',
    -- The rules that matched: a JSON list.
    rules                 TEXT   NOT NULL DEFAULT '[]',
    PRIMARY KEY (tenant_id, user_id, action, idempotency_key)
);
CREATE INDEX actions_device ON actions (tenant_id, user_id, device_id) WHERE device_id <> '';
CREATE INDEX actions_newest ON actions (tenant_id, user_id, created_at);
CREATE INDEX actions_created ON actions (created_at);

-- What happened, for operators; no secret, code or token.
CREATE TABLE audit (
    tenant_id       TEXT   NOT NULL,
    audit_id        TEXT   NOT NULL,
    at              BIGINT NOT NULL,
    kind            TEXT   NOT NULL,
    user_id         TEXT   NOT NULL DEFAULT '',
    action          TEXT   NOT NULL DEFAULT '',
    idempotency_key TEXT   NOT NULL DEFAULT '',
    -- A JSON object.
    detail          TEXT   NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, audit_id)
);
CREATE INDEX audit_newest ON audit (tenant_id, at DESC, audit_id DESC);
CREATE INDEX audit_user ON audit (tenant_id, user_id, at DESC, audit_id DESC);
CREATE INDEX audit_at ON audit (at);

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
