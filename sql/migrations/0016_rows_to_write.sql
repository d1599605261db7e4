-- Rows as a writer hands them over, many in one parameter: a parameter for each column costs PostgreSQL more than the
-- rows do. A statement unnests an array of them, so their fields are never changed; one more field is another type.
CREATE TYPE written_event AS (
    project text, domain text, run_name text, name text, attempt integer, phase smallint, version integer,
    revision bigint, error_kind_number smallint, updated_at timestamptz, reported_at timestamptz, info text
);

CREATE TYPE written_action AS (
    project text, domain text, run_name text, name text, parent_named boolean, parent text, ordinal integer,
    level integer, attempt integer, phase smallint, version integer, action_group text, group_attempt integer,
    group_position bigint, task_name text, short_name text, task_attempt integer, task_position bigint,
    created_at timestamptz, started_at timestamptz, ended_at timestamptz, error_info text, revision bigint,
    furthest_at timestamptz, running_version integer, wait_phase smallint, wait_version integer,
    wait_at timestamptz, additions text
);

CREATE TYPE written_run AS (
    project text, domain text, run_name text, incarnation text, changed_xid bigint, revision bigint,
    action_count integer, phase_counts integer[], root text, phase smallint, created_at timestamptz,
    started_at timestamptz, ended_at timestamptz, root_counts integer[], waiting_count integer,
    heard_at timestamptz
);
