-- A process of an older version that still runs knows nothing of roots, waiting actions and open ends, and what it
-- wrote would make them wrong for good. So it must not write: of its statements the insert of events alone names this
-- column, is refused from now on, and the process is not ready. It goes on reading.
ALTER TABLE action_events RENAME COLUMN error_kind TO error_kind_number;
