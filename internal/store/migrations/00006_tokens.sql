-- Lets all client tokens of a user end at once.

-- +goose Up
-- A token counts only if it was issued at this epoch.
ALTER TABLE users ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
