-- Links by which a help desk lets a user enroll a new authenticator app. Of a link's
-- secret only the SHA-256 is stored. A user has at most one link.
CREATE TABLE recovery_links (
    tenant_id       TEXT    NOT NULL,
    link_id         TEXT    NOT NULL,
    user_id         TEXT    NOT NULL,
    -- Of the user that the link was issued for.
    incarnation     TEXT    NOT NULL,
    secret_hash     BYTEA   NOT NULL,
    -- What is voided when the link is used, separated by spaces.
    void            TEXT    NOT NULL DEFAULT '',
    issued_by       TEXT    NOT NULL,
    issuer          TEXT    NOT NULL DEFAULT '',
    issuing_session TEXT    NOT NULL DEFAULT '',
    needs_approval  BOOLEAN NOT NULL,
    approved_by     TEXT    NOT NULL DEFAULT '',
    approver        TEXT    NOT NULL DEFAULT '',
    created_at      BIGINT  NOT NULL,
    expires_at      BIGINT  NOT NULL,
    approved_at     BIGINT,
    used_at         BIGINT,
    PRIMARY KEY (tenant_id, link_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX recovery_links_secret ON recovery_links (secret_hash);
CREATE UNIQUE INDEX recovery_links_user ON recovery_links (tenant_id, user_id);
CREATE INDEX recovery_links_expires ON recovery_links (tenant_id, expires_at);

-- Settings of a tenant for recovery links, as JSON.
ALTER TABLE tenants ADD COLUMN recovery_links TEXT NOT NULL DEFAULT '{}';
