-- What waits is listed by parent and name, and looked up by parent.
CREATE INDEX actions_waiting_by_parent ON actions (project, domain, run_name, parent, name)
    WHERE ordinal = 0;
DROP INDEX actions_waiting;
