-- What an action's state was made of, where its row does not say it yet (model/attempt_state.h). The
-- phase and version of the row are those that are shown.
ALTER TABLE actions
    ADD COLUMN furthest_at     timestamptz,                  -- of the furthest event; null: ended_at
    ADD COLUMN running_version integer NOT NULL DEFAULT -1,  -- its version, while a wait is shown instead
    ADD COLUMN wait_phase      smallint NOT NULL DEFAULT 0,  -- the latest wait with a version of 1 or more
    ADD COLUMN wait_version    integer NOT NULL DEFAULT 0,
    ADD COLUMN wait_at         timestamptz;

UPDATE actions a SET
    furthest_at = (SELECT e.updated_at FROM action_events e WHERE e.project = a.project
        AND e.domain = a.domain AND e.run_name = a.run_name AND e.name = a.name
        AND e.attempt = a.attempt AND e.phase = a.phase AND e.version = a.version)
    WHERE a.phase NOT IN (5, 6, 7, 8, 10);

UPDATE actions a SET wait_phase = w.phase, wait_version = w.version, wait_at = w.updated_at
    FROM (SELECT DISTINCT ON (e.project, e.domain, e.run_name, e.name) e.* FROM action_events e
        JOIN actions o ON o.project = e.project AND o.domain = e.domain AND o.run_name = e.run_name
            AND o.name = e.name AND o.attempt = e.attempt
        WHERE o.phase NOT IN (5, 6, 7, 8, 10) AND e.phase IN (1, 2, 3) AND e.version > 0
        ORDER BY e.project, e.domain, e.run_name, e.name, e.updated_at DESC, e.version DESC,
            e.phase DESC) w
    WHERE a.project = w.project AND a.domain = w.domain AND a.run_name = w.run_name
        AND a.name = w.name;

-- An attempt begins when it began itself, not when the first one did.
UPDATE actions a SET started_at = (SELECT min(e.updated_at) FROM action_events e
        WHERE e.project = a.project AND e.domain = a.domain AND e.run_name = a.run_name
        AND e.name = a.name AND e.attempt = a.attempt AND e.phase = 4)
    WHERE a.attempt > 1;
