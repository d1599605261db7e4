-- Runs that are over, all their roots have ended, with actions of which no end is known. The transaction after
-- which a run is so adds the row, the one after which it is not takes it away.
CREATE TABLE open_ends (
    project  text COLLATE "C" NOT NULL,
    domain   text COLLATE "C" NOT NULL,
    run_name text COLLATE "C" NOT NULL,
    PRIMARY KEY (project, domain, run_name)
);

INSERT INTO open_ends SELECT r.project, r.domain, r.run_name FROM runs r
    WHERE r.action_count > 0 AND r.phase IN (5, 6, 7, 8, 10, 11)
    AND r.phase_counts[1] + r.phase_counts[2] + r.phase_counts[3] + r.phase_counts[4] + r.phase_counts[9] > 0;
