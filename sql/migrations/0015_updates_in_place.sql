-- An index that covers a column which every event changes, here the revision, makes each update of an action an update of
-- all its indexes. So what no event changed has its revision in a column of its own.
ALTER TABLE actions ADD COLUMN changed_by_hand bigint;  -- the revision of the last such change; null: none
UPDATE actions SET changed_by_hand = revision WHERE (abort_requested IS NOT NULL OR removed) AND ordinal > 0;

DROP INDEX actions_changed_by_hand;
CREATE INDEX actions_changed_by_hand ON actions (project, domain, run_name, changed_by_hand)
    WHERE changed_by_hand IS NOT NULL;
