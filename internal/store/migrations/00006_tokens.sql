-- What ends tokens before they expire, and what keeps an action to its user.

-- Tokens carry the epoch of their user. It grows when they are to end.
ALTER TABLE users ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

-- The incarnation of the user that the action was tracked for. An action that
-- is older than its user belongs to a deleted one of the same id.
ALTER TABLE actions ADD COLUMN incarnation TEXT NOT NULL DEFAULT '';
UPDATE actions SET incarnation = COALESCE((
    SELECT u.incarnation FROM users u
    WHERE u.tenant_id = actions.tenant_id AND u.user_id = actions.user_id AND u.created_at <= actions.created_at), '');

-- The epoch of the user's tokens in which the action came to its state: a
-- success ends with the tokens of its epoch.
ALTER TABLE actions ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;

-- The rule whose outcome was taken; empty for the default, null where it was not
-- recorded: then it is the first of the rules.
ALTER TABLE actions ADD COLUMN priority_rule_id TEXT;

-- Whether the action is ALLOW, instead of CHALLENGE_REQUIRED, only because the
-- user was not enrolled.
ALTER TABLE actions ADD COLUMN newcomer BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE actions SET newcomer = TRUE WHERE state = 'ALLOW' AND outcome = 'CHALLENGE';
