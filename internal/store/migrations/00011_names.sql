-- What the user calls an authenticator; empty if nothing was given.
ALTER TABLE authenticators ADD COLUMN name TEXT NOT NULL DEFAULT '';
