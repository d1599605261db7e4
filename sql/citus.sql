-- Distributes runtree's tables over the workers of a Citus cluster, each run with all that is of it on one
-- worker. Read docs/scale.md first: it was never run against Citus, and not all of runtree is expected to work.
--
--   psql --file citus.sql DATABASE        on the coordinator, after a runtree has made the schema
--
-- May be run again, after a migration that brought a table: what is distributed is left alone.
-- schema_migrations stays on the coordinator.
SELECT create_distributed_table(t.name::regclass, 'run_name',
                                colocate_with => CASE t.name WHEN 'runs' THEN 'none' ELSE 'runs' END)
    FROM (VALUES (1, 'runs'), (2, 'actions'), (3, 'action_events'), (4, 'deleted_runs'),
          (5, 'pending_joins'), (6, 'run_additions'), (7, 'run_labels'),
          (8, 'open_ends')) AS t(position, name)
    WHERE NOT EXISTS (SELECT FROM pg_dist_partition p WHERE p.logicalrelid = t.name::regclass)
    ORDER BY t.position;
