-- A user's sets of recovery codes: the one in force, and one that the user has
-- not confirmed yet.
CREATE TABLE recovery_sets (
    tenant_id    TEXT   NOT NULL,
    user_id      TEXT   NOT NULL,
    set_id       TEXT   NOT NULL,
    -- The key of the hashes of the codes: AES-256-GCM, bound to tenant, user and
    -- set.
    hash_key     BYTEA  NOT NULL,
    key_id       TEXT   NOT NULL REFERENCES encryption_keys (key_id),
    created_at   BIGINT NOT NULL,
    -- Null until the user confirms having kept the codes.
    confirmed_at BIGINT,
    PRIMARY KEY (tenant_id, set_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX recovery_sets_pending ON recovery_sets (tenant_id, user_id) WHERE confirmed_at IS NULL;
CREATE UNIQUE INDEX recovery_sets_in_force ON recovery_sets (tenant_id, user_id) WHERE confirmed_at IS NOT NULL;

CREATE TABLE recovery_codes (
    tenant_id TEXT   NOT NULL,
    set_id    TEXT   NOT NULL,
    -- HMAC-SHA256.
    code_hash BYTEA  NOT NULL,
    -- Null while the code is accepted.
    used_at   BIGINT,
    PRIMARY KEY (tenant_id, set_id, code_hash),
    FOREIGN KEY (tenant_id, set_id) REFERENCES recovery_sets (tenant_id, set_id) ON DELETE CASCADE
);
