-- Run once after the database was restored from a backup, before any runtree serves it (docs/operations.md):
--
--   psql --single-transaction --file after_restore.sql DATABASE
--
-- Whoever watched has seen revisions that the backup may not have, and that will be given again, to other
-- events. With another incarnation each run is another one to them: they are told `reset`.
UPDATE runs
    SET incarnation = substr(md5(random()::text || run_name), 1, 12),
        -- Transaction ids of the server that the backup is from mean nothing on this one.
        changed_xid = pg_current_xact_id()::text::bigint;
DELETE FROM deleted_runs WHERE NOT has_rows;
-- What these have left is still to be removed.
UPDATE deleted_runs SET deleted_xid = pg_current_xact_id()::text::bigint, deleted_at = now();
