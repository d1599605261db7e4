-- What events say beside the state: of an action in a column (model/additions.h), of a run in rows of its own, so
-- that an event which says nothing of it costs nothing.
ALTER TABLE actions ADD COLUMN additions text;

-- Each member is from the first event that says it, by time, action and order of the action's events.
CREATE TABLE run_additions (
    project   text COLLATE "C" NOT NULL,
    domain    text COLLATE "C" NOT NULL,
    run_name  text COLLATE "C" NOT NULL,
    member    text COLLATE "C" NOT NULL,      -- title, labels, links or params
    value     text NOT NULL,                  -- JSON
    said_at   timestamptz NOT NULL,           -- the event's time, action, attempt and place
    said_by   text COLLATE "C" NOT NULL,
    attempt   integer NOT NULL,
    position  bigint NOT NULL,
    PRIMARY KEY (project, domain, run_name, member)
);

-- The labels of runs as they are asked for, in the order of the list of runs.
CREATE TABLE run_labels (
    project   text COLLATE "C" NOT NULL,
    domain    text COLLATE "C" NOT NULL,
    run_name  text COLLATE "C" NOT NULL,
    label     text COLLATE "C" NOT NULL,      -- name:value
    shown_at  timestamptz NOT NULL,           -- the run's
    PRIMARY KEY (project, domain, run_name, label)
);
CREATE INDEX run_labels_as_shown ON run_labels (label, shown_at, project, domain, run_name);

-- Phase 11 is SKIPPED; a row that was made before has no count of it, which is none.
ALTER TABLE runs ALTER COLUMN phase_counts SET DEFAULT '{0,0,0,0,0,0,0,0,0,0,0}';
