-- A run is what all of its roots are, and says what waits in it and when it was heard of last.
ALTER TABLE runs
    ADD COLUMN root_counts   integer[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0,0,0}', -- as phase_counts, of roots
    ADD COLUMN waiting_count integer NOT NULL DEFAULT 0,                         -- actions with ordinal 0
    ADD COLUMN last_event_at timestamptz;                                        -- of the last new event

CREATE INDEX actions_roots ON actions (project, domain, run_name)
    WHERE parent IS NULL AND ordinal > 0;

WITH roots AS (
    SELECT a.project, a.domain, a.run_name,
        ARRAY[count(*) FILTER (WHERE a.phase = 1), count(*) FILTER (WHERE a.phase = 2),
              count(*) FILTER (WHERE a.phase = 3), count(*) FILTER (WHERE a.phase = 4),
              count(*) FILTER (WHERE a.phase = 5), count(*) FILTER (WHERE a.phase = 6),
              count(*) FILTER (WHERE a.phase = 7), count(*) FILTER (WHERE a.phase = 8),
              count(*) FILTER (WHERE a.phase = 9), count(*) FILTER (WHERE a.phase = 10),
              count(*) FILTER (WHERE a.phase = 11)]::int4[] AS n,
        min(a.created_at) AS created_at, min(a.started_at) AS started_at, max(a.ended_at) AS ended_at
    FROM actions a WHERE a.parent IS NULL AND a.ordinal > 0
    GROUP BY a.project, a.domain, a.run_name
)
UPDATE runs r SET root_counts = o.n, created_at = o.created_at, started_at = o.started_at,
    ended_at = o.ended_at,
    phase = CASE WHEN o.n[4] > 0 THEN 4 WHEN o.n[9] > 0 THEN 9
        WHEN o.n[1] + o.n[2] + o.n[3] > 0 AND o.n[5] + o.n[6] + o.n[7] + o.n[8] + o.n[10] + o.n[11] > 0
            THEN 4
        WHEN o.n[3] > 0 THEN 3 WHEN o.n[2] > 0 THEN 2 WHEN o.n[1] > 0 THEN 1
        WHEN o.n[6] > 0 THEN 6 WHEN o.n[8] > 0 THEN 8 WHEN o.n[7] > 0 THEN 7
        WHEN o.n[5] > 0 THEN 5 WHEN o.n[10] > 0 THEN 10 ELSE 11 END
    FROM roots o WHERE r.project = o.project AND r.domain = o.domain AND r.run_name = o.run_name;

UPDATE runs r SET waiting_count = w.n
    FROM (SELECT a.project, a.domain, a.run_name, count(*) AS n FROM actions a WHERE a.ordinal = 0
        GROUP BY a.project, a.domain, a.run_name) w
    WHERE r.project = w.project AND r.domain = w.domain AND r.run_name = w.run_name;

-- The last event that moved the tree; of a run that has none, when it was seen first.
UPDATE runs r SET last_event_at = coalesce((SELECT e.recorded_at FROM action_events e
        WHERE e.project = r.project AND e.domain = r.domain AND e.run_name = r.run_name
        AND e.revision > 0 ORDER BY e.revision DESC LIMIT 1), r.first_seen_at);
