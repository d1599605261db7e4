-- An action that was taken out of its run. Its row keeps its place in the tree, for who watches; its name, to
-- which U+001F and the ordinal are added, is free for another, and its events are gone.
ALTER TABLE actions ADD COLUMN removed boolean NOT NULL DEFAULT false;
ALTER TABLE runs ADD COLUMN removed_count integer NOT NULL DEFAULT 0;  -- of action_count

DROP INDEX actions_changed_by_hand;
CREATE INDEX actions_changed_by_hand ON actions (project, domain, run_name, revision)
    WHERE (abort_requested IS NOT NULL OR removed) AND ordinal > 0;
