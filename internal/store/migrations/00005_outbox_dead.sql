-- Counts the events that were given up, for the metrics.

-- +goose Up
CREATE INDEX outbox_dead ON outbox (ended_at) WHERE state = 'DEAD';
