-- Actions in the tree for which others still wait: so many that they join in several transactions. The one in
-- which the first of them join adds the row, the one that finds none left takes it away.
CREATE TABLE pending_joins (
    project   text COLLATE "C" NOT NULL,
    domain    text COLLATE "C" NOT NULL,
    run_name  text COLLATE "C" NOT NULL,
    parent    text COLLATE "C" NOT NULL,
    worked_at timestamptz NOT NULL,             -- when some of them joined last
    PRIMARY KEY (project, domain, run_name, parent)
);
CREATE INDEX pending_joins_by_work ON pending_joins (worked_at);
