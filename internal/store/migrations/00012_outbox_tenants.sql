-- Events are claimed tenant by tenant, so that the events of one do not delay
-- those of others: its tenants are found by steps in this index.

CREATE INDEX outbox_tenant_due ON outbox (tenant_id, due_at, event_id) WHERE due_at IS NOT NULL;
DROP INDEX outbox_due;
