-- What the pages that the server shows need to know of a tenant.

-- How the pre-built UI looks: a JSON object.
ALTER TABLE tenants ADD COLUMN branding TEXT NOT NULL DEFAULT '{}';

-- The tenant's own pages: they may call the client API, show the pre-built UI
-- in a frame, and be returned to.
CREATE TABLE tenant_origins (
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id),
    origin    TEXT NOT NULL,
    PRIMARY KEY (tenant_id, origin)
);
CREATE INDEX tenant_origins_origin ON tenant_origins (origin);
