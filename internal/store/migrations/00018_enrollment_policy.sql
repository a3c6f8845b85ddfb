-- From when on the users of a tenant must be enrolled: a JSON object; empty for no
-- policy.
ALTER TABLE tenants ADD COLUMN enrollment_policy TEXT NOT NULL DEFAULT '';
-- When the first action of the user was tracked; null before that. 0, the value of
-- users that existed before this column did: it is not known, and created_at counts.
ALTER TABLE users ADD COLUMN first_tracked_at BIGINT DEFAULT 0;
