-- The newest refused code, if it was that of a step nearby: its distance from the
-- step of that time, its step, and when it was refused. Two that agree tell that a
-- clock is off.
ALTER TABLE authenticators ADD COLUMN missed_by BIGINT;
ALTER TABLE authenticators ADD COLUMN missed_step BIGINT;
ALTER TABLE authenticators ADD COLUMN missed_at BIGINT;
