-- Who asked for the end of a run or of an action, when and why, as JSON: {"at", "by", "reason"}.
ALTER TABLE runs
    ADD COLUMN abort_requested text,
    ADD COLUMN abort_count integer NOT NULL DEFAULT 0;  -- actions of it that somebody asked for
ALTER TABLE actions
    ADD COLUMN abort_requested text,
    ADD COLUMN abort_revision bigint;  -- of the run, that the request made; null: the action waited then

-- What changed without an event, for who reads what changed since a revision.
CREATE INDEX actions_changed_by_hand ON actions (project, domain, run_name, revision)
    WHERE abort_requested IS NOT NULL AND ordinal > 0;
