-- The list of runs is sorted by the time that it shows of each. It changes when a run's root comes or an earlier
-- event of it, and no other update of a run touches its indexes.
ALTER TABLE runs ADD COLUMN shown_at timestamptz NOT NULL
    GENERATED ALWAYS AS (coalesce(created_at, first_seen_at)) STORED;
CREATE INDEX runs_as_shown ON runs (shown_at, project, domain, run_name)
    WHERE shown_at > '-infinity';
CREATE INDEX runs_as_shown_of_project ON runs (project, shown_at, domain, run_name)
    WHERE shown_at > '-infinity';
CREATE INDEX runs_as_shown_of_domain ON runs (project, domain, shown_at, run_name)
    WHERE shown_at > '-infinity';
DROP INDEX runs_newest_of_project;
DROP INDEX runs_newest_of_domain;
