-- Tenants that were deleted. Their rows are erased afterwards, in batches; the
-- record stays, so that no start of a server creates such a tenant again.

CREATE TABLE deleted_tenants (
    tenant_id  TEXT   NOT NULL PRIMARY KEY,
    deleted_at BIGINT NOT NULL,
    -- Null until all rows of the tenant are erased.
    erased_at  BIGINT
);
