-- Runs that were deleted, for those who watch the list of runs and were away meanwhile. The
-- transaction that deletes a run adds its key here and notifies 'project/domain/run/0'. Rows older
-- than two days may go: no stream id is taken back for so long.
CREATE TABLE deleted_runs (
    project     text COLLATE "C" NOT NULL,
    domain      text COLLATE "C" NOT NULL,
    run_name    text COLLATE "C" NOT NULL,
    deleted_xid bigint NOT NULL,                -- the transaction that deleted it, as runs.changed_xid
    deleted_at  timestamptz NOT NULL,
    PRIMARY KEY (project, domain, run_name)
);
