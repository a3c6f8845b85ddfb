-- Counts the events that were given up, for the metrics.

CREATE INDEX outbox_dead ON outbox (ended_at) WHERE state = 'DEAD';
