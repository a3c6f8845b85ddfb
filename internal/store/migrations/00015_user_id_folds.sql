-- What a tenant does about user ids that differ only by case, space around them or
-- Unicode form: exact (nothing), refuse or fold.

ALTER TABLE tenants ADD COLUMN user_ids TEXT NOT NULL DEFAULT 'exact';
-- The folded id, once the tenant does not take ids exactly. Null too for a user that
-- looked like an earlier one when the tenant began to refuse.
ALTER TABLE users ADD COLUMN id_fold TEXT;
CREATE UNIQUE INDEX users_id_fold ON users (tenant_id, id_fold) WHERE id_fold IS NOT NULL;
