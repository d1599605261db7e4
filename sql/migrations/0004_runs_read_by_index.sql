-- What is asked of `runs` again and again is read by an index, however many there are.
CREATE INDEX runs_newest_of_project ON runs (project, first_seen_at, domain, run_name)
    WHERE first_seen_at > '-infinity';

-- The runs that a late transaction changed. An index on changed_xid itself would make every update of a run
-- an update of all its indexes; this one is touched when a run changes for the first time in an era.
ALTER TABLE runs ADD COLUMN changed_era bigint NOT NULL GENERATED ALWAYS AS (changed_xid / 4096) STORED;
CREATE INDEX runs_changed ON runs (changed_era);

CREATE INDEX deleted_runs_by_xid ON deleted_runs (deleted_xid);
