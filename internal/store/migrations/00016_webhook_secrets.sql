-- Secrets that sign webhooks, so that a receiver needs no API secret key. A tenant
-- without any signs with its API secret keys, as before.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE webhook_secrets (
    tenant_id      TEXT   NOT NULL REFERENCES tenants (tenant_id),
    secret_id      TEXT   NOT NULL,
    -- AES-256-GCM, bound to tenant and secret.
    secret         BYTEA  NOT NULL,
    key_id         TEXT   NOT NULL REFERENCES encryption_keys (key_id),
    created_at     BIGINT NOT NULL,
    -- Null while it is in force without end.
    expires_at     BIGINT,
    -- Until when the API secret keys sign too; null for a secret that followed
    -- another one.
    api_keys_until BIGINT,
    PRIMARY KEY (tenant_id, secret_id)
);
-- +goose StatementEnd
