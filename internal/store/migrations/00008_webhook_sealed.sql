-- The URL of a webhook may hold a secret of the receiver. It is sealed like the
-- others, and bound to its tenant. The column webhook_url is empty once the
-- server has started on this version: sealing needs the encryption key, which
-- no statement here has.

ALTER TABLE tenants ADD COLUMN webhook_sealed BYTEA;
ALTER TABLE tenants ADD COLUMN webhook_key_id TEXT REFERENCES encryption_keys (key_id);
