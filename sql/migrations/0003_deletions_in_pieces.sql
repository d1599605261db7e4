-- A run is deleted in two steps. One small transaction takes its row out of `runs` and notes it here with
-- has_rows, which hides the run from everybody. Its events and actions are removed afterwards, in pieces;
-- until the last is gone, no run is made under the key again.
ALTER TABLE deleted_runs ADD COLUMN has_rows boolean NOT NULL DEFAULT false;
CREATE INDEX deleted_runs_with_rows ON deleted_runs (deleted_at) WHERE has_rows;
CREATE INDEX deleted_runs_by_age ON deleted_runs (deleted_at);
