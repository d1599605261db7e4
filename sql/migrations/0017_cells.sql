-- Of several databases that share the runs: which one this is, and the lists of those that got new runs, of which each
-- database has all, so that a run is found wherever it was made. Who makes a run reads the newest list in the same
-- transaction, and so holds a lock against which a newer one is added.
CREATE TABLE cell_name (
    name text COLLATE "C" NOT NULL,
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only)
);
CREATE TABLE cell_generations (
    number bigint PRIMARY KEY,
    cells text COLLATE "C" NOT NULL             -- names in order, with blanks between them
);
