-- The three tables of runtree; docs/architecture.md says what holds between them.
-- Text that orders or names anything is in byte order, as strcmp has it.

CREATE TABLE runs (
    project       text COLLATE "C" NOT NULL,
    domain        text COLLATE "C" NOT NULL,
    run_name      text COLLATE "C" NOT NULL,
    incarnation   text NOT NULL,                -- random, given when the run is first seen
    revision      bigint NOT NULL DEFAULT 0,    -- counts the run's changes
    action_count  integer NOT NULL DEFAULT 0,   -- in the tree; the greatest ordinal
    phase_counts  integer[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0,0}',  -- element n: phase number n
    root          text COLLATE "C",
    phase         smallint NOT NULL DEFAULT 0,  -- the root's, 0 while there is none; likewise the times
    created_at    timestamptz,
    started_at    timestamptz,
    ended_at      timestamptz,
    first_seen_at timestamptz NOT NULL,
    changed_xid   bigint NOT NULL DEFAULT 0,    -- the transaction that changed the row last
    PRIMARY KEY (project, domain, run_name)
) WITH (fillfactor = 70);

-- The conditions of the indexes below say nothing new of any row that they are for. They keep the
-- planner from taking such an index for a look-up by key, of which it would serve only the first
-- columns: on a table that was just filled it cannot tell the difference, and it is one of 1 to 100,000.
CREATE INDEX runs_newest ON runs (first_seen_at, project, domain, run_name)
    WHERE first_seen_at > '-infinity';
CREATE INDEX runs_newest_of_domain ON runs (project, domain, first_seen_at, run_name)
    WHERE first_seen_at > '-infinity';

-- One row for each action: its current state, derived from its events in the same transaction.
CREATE TABLE actions (
    project        text COLLATE "C" NOT NULL,
    domain         text COLLATE "C" NOT NULL,
    run_name       text COLLATE "C" NOT NULL,
    name           text COLLATE "C" NOT NULL,
    parent_named   boolean NOT NULL,
    parent         text COLLATE "C",            -- null while parent_named: a root
    ordinal        integer NOT NULL,            -- order of joining the tree; 0: waiting
    level          integer NOT NULL,            -- of a root 1; 0: waiting
    attempt        integer NOT NULL,
    phase          smallint NOT NULL,
    version        integer NOT NULL,
    action_group   text,
    group_attempt  integer NOT NULL,            -- the place of the event that the group is from
    group_position bigint NOT NULL,
    task_name      text,
    short_name     text,
    task_attempt   integer NOT NULL,
    task_position  bigint NOT NULL,
    created_at     timestamptz,
    started_at     timestamptz,
    ended_at       timestamptz,
    error_info     text,                        -- JSON
    revision       bigint NOT NULL,             -- of the last change that a watcher sees; 0: waiting
    PRIMARY KEY (project, domain, run_name, name)
) WITH (fillfactor = 70);

CREATE INDEX actions_in_tree_order ON actions (project, domain, run_name, ordinal)
    WHERE ordinal > 0;
CREATE INDEX actions_waiting ON actions (project, domain, run_name, parent)
    WHERE ordinal = 0;

-- Every event once. Never changed, but for the revision of one that waited and then joined.
CREATE TABLE action_events (
    project     text COLLATE "C" NOT NULL,
    domain      text COLLATE "C" NOT NULL,
    run_name    text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    attempt     integer NOT NULL,
    phase       smallint NOT NULL,
    version     integer NOT NULL,
    revision    bigint NOT NULL,                -- of the run, that it produced; 0: its action waits
    error_kind  smallint NOT NULL,              -- 0 none, 1 USER, 2 SYSTEM
    updated_at  timestamptz NOT NULL,
    reported_at timestamptz,
    recorded_at timestamptz NOT NULL,
    info        text NOT NULL,                  -- the event as received, JSON
    PRIMARY KEY (project, domain, run_name, name, attempt, phase, version)
);

CREATE INDEX action_events_changes ON action_events (project, domain, run_name, revision)
    WHERE revision > 0;
