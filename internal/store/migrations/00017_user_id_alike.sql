-- The folded id of a user that looked like an earlier one when the tenant began to
-- refuse such ids: it takes the earlier one's place in id_fold when that is deleted.
ALTER TABLE users ADD COLUMN id_alike TEXT;
CREATE INDEX users_id_alike ON users (tenant_id, id_alike) WHERE id_alike IS NOT NULL;
