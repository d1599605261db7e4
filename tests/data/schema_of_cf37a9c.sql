-- A database as runtree wrote it at cf37a9c, with the migrations 0001 and 0002, made by that version itself out of tests/data/reports:
-- pg_dump --inserts, without what sets the session.
CREATE TABLE public.action_events (
    project text NOT NULL COLLATE pg_catalog."C",
    domain text NOT NULL COLLATE pg_catalog."C",
    run_name text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    attempt integer NOT NULL,
    phase smallint NOT NULL,
    version integer NOT NULL,
    revision bigint NOT NULL,
    error_kind smallint NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    reported_at timestamp with time zone,
    recorded_at timestamp with time zone NOT NULL,
    info text NOT NULL
);
CREATE TABLE public.actions (
    project text NOT NULL COLLATE pg_catalog."C",
    domain text NOT NULL COLLATE pg_catalog."C",
    run_name text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    parent_named boolean NOT NULL,
    parent text COLLATE pg_catalog."C",
    ordinal integer NOT NULL,
    level integer NOT NULL,
    attempt integer NOT NULL,
    phase smallint NOT NULL,
    version integer NOT NULL,
    action_group text,
    group_attempt integer NOT NULL,
    group_position bigint NOT NULL,
    task_name text,
    short_name text,
    task_attempt integer NOT NULL,
    task_position bigint NOT NULL,
    created_at timestamp with time zone,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    error_info text,
    revision bigint NOT NULL
)
WITH (fillfactor='70');
CREATE TABLE public.deleted_runs (
    project text NOT NULL COLLATE pg_catalog."C",
    domain text NOT NULL COLLATE pg_catalog."C",
    run_name text NOT NULL COLLATE pg_catalog."C",
    deleted_xid bigint NOT NULL,
    deleted_at timestamp with time zone NOT NULL
);
CREATE TABLE public.runs (
    project text NOT NULL COLLATE pg_catalog."C",
    domain text NOT NULL COLLATE pg_catalog."C",
    run_name text NOT NULL COLLATE pg_catalog."C",
    incarnation text NOT NULL,
    revision bigint DEFAULT 0 NOT NULL,
    action_count integer DEFAULT 0 NOT NULL,
    phase_counts integer[] DEFAULT '{0,0,0,0,0,0,0,0,0,0}'::integer[] NOT NULL,
    root text COLLATE pg_catalog."C",
    phase smallint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    first_seen_at timestamp with time zone NOT NULL,
    changed_xid bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='70');
CREATE TABLE public.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'root', 1, 4, 0, 1, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "root", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'train', 1, 4, 0, 2, 0, '2026-03-01 08:00:01+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "train", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:01.000Z", "parent": "root"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'train', 1, 6, 0, 3, 0, '2026-03-01 09:00:00+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "train", "phase": "FAILED", "updatedTime": "2026-03-01T09:00:00.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'root', 1, 6, 0, 4, 0, '2026-03-01 09:00:00+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "root", "phase": "FAILED", "updatedTime": "2026-03-01T09:00:00.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'root', 2, 1, 0, 5, 0, '2026-03-01 14:00:00+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "root", "phase": "QUEUED", "updatedTime": "2026-03-01T14:00:00.000Z", "attempt": 2}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'train', 2, 1, 0, 6, 0, '2026-03-01 14:00:00+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "train", "phase": "QUEUED", "updatedTime": "2026-03-01T14:00:00.000Z", "attempt": 2}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'root', 2, 4, 0, 7, 0, '2026-03-01 14:00:01+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "root", "phase": "RUNNING", "updatedTime": "2026-03-01T14:00:01.000Z", "attempt": 2}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'train', 2, 4, 0, 8, 0, '2026-03-01 14:00:01+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "train", "phase": "RUNNING", "updatedTime": "2026-03-01T14:00:01.000Z", "attempt": 2}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'train', 2, 5, 0, 9, 0, '2026-03-01 15:00:00+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "train", "phase": "SUCCEEDED", "updatedTime": "2026-03-01T15:00:00.000Z", "attempt": 2}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retried', 'root', 2, 5, 0, 10, 0, '2026-03-01 15:00:00+00', NULL, '2026-11-26 01:02:35.022142+00', '{"project": "hunt", "domain": "dev", "runName": "retried", "name": "root", "phase": "SUCCEEDED", "updatedTime": "2026-03-01T15:00:00.000Z", "attempt": 2}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retrying', 'root', 1, 4, 0, 1, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.035291+00', '{"project": "hunt", "domain": "dev", "runName": "retrying", "name": "root", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retrying', 'train', 1, 4, 0, 2, 0, '2026-03-01 08:00:01+00', NULL, '2026-11-26 01:02:35.035291+00', '{"project": "hunt", "domain": "dev", "runName": "retrying", "name": "train", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:01.000Z", "parent": "root"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retrying', 'train', 1, 6, 0, 3, 0, '2026-03-01 09:00:00+00', NULL, '2026-11-26 01:02:35.035291+00', '{"project": "hunt", "domain": "dev", "runName": "retrying", "name": "train", "phase": "FAILED", "updatedTime": "2026-03-01T09:00:00.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retrying', 'root', 1, 6, 0, 4, 0, '2026-03-01 09:00:00+00', NULL, '2026-11-26 01:02:35.035291+00', '{"project": "hunt", "domain": "dev", "runName": "retrying", "name": "root", "phase": "FAILED", "updatedTime": "2026-03-01T09:00:00.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retrying', 'root', 2, 1, 0, 5, 0, '2026-03-01 14:00:00+00', NULL, '2026-11-26 01:02:35.035291+00', '{"project": "hunt", "domain": "dev", "runName": "retrying", "name": "root", "phase": "QUEUED", "updatedTime": "2026-03-01T14:00:00.000Z", "attempt": 2}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'retrying', 'train', 2, 1, 0, 6, 0, '2026-03-01 14:00:00+00', NULL, '2026-11-26 01:02:35.035291+00', '{"project": "hunt", "domain": "dev", "runName": "retrying", "name": "train", "phase": "QUEUED", "updatedTime": "2026-03-01T14:00:00.000Z", "attempt": 2}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'zombie', 'root', 1, 4, 0, 1, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.036344+00', '{"project": "hunt", "domain": "dev", "runName": "zombie", "name": "root", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'zombie', 'step', 1, 4, 0, 2, 0, '2026-03-01 08:00:01+00', NULL, '2026-11-26 01:02:35.036344+00', '{"project": "hunt", "domain": "dev", "runName": "zombie", "name": "step", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:01.000Z", "parent": "root"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'zombie', 'root', 1, 6, 0, 3, 0, '2026-03-01 08:01:00+00', NULL, '2026-11-26 01:02:35.036344+00', '{"project": "hunt", "domain": "dev", "runName": "zombie", "name": "root", "phase": "FAILED", "updatedTime": "2026-03-01T08:01:00.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'paused', 'gate', 1, 4, 0, 1, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.037247+00', '{"project": "hunt", "domain": "dev", "runName": "paused", "name": "gate", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'paused', 'gate', 1, 9, 0, 2, 0, '2026-03-01 08:00:10+00', NULL, '2026-11-26 01:02:35.037247+00', '{"project": "hunt", "domain": "dev", "runName": "paused", "name": "gate", "phase": "PAUSED", "updatedTime": "2026-03-01T08:00:10.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'deferred', 'wait', 1, 1, 0, 1, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.038117+00', '{"project": "hunt", "domain": "dev", "runName": "deferred", "name": "wait", "phase": "QUEUED", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'deferred', 'wait', 1, 4, 0, 2, 0, '2026-03-01 08:00:05+00', NULL, '2026-11-26 01:02:35.038117+00', '{"project": "hunt", "domain": "dev", "runName": "deferred", "name": "wait", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:05.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'deferred', 'wait', 1, 2, 1, 3, 0, '2026-03-01 08:00:06+00', NULL, '2026-11-26 01:02:35.038117+00', '{"project": "hunt", "domain": "dev", "runName": "deferred", "name": "wait", "phase": "WAITING_FOR_RESOURCES", "updatedTime": "2026-03-01T08:00:06.000Z", "version": 1}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'late', 'root', 1, 4, 0, 1, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.038957+00', '{"project": "hunt", "domain": "dev", "runName": "late", "name": "root", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'late', 't', 1, 4, 0, 2, 0, '2026-03-01 08:00:01+00', NULL, '2026-11-26 01:02:35.038957+00', '{"project": "hunt", "domain": "dev", "runName": "late", "name": "t", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:01.000Z", "parent": "root"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'late', 't', 1, 5, 0, 3, 0, '2026-03-01 08:00:10+00', NULL, '2026-11-26 01:02:35.038957+00', '{"project": "hunt", "domain": "dev", "runName": "late", "name": "t", "phase": "SUCCEEDED", "updatedTime": "2026-03-01T08:00:10.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'late', 't', 1, 6, 0, 4, 2, '2026-03-01 08:08:20+00', NULL, '2026-11-26 01:02:35.038957+00', '{"project": "hunt", "domain": "dev", "runName": "late", "name": "t", "phase": "FAILED", "updatedTime": "2026-03-01T08:08:20.000Z", "errorInfo": {"kind": "SYSTEM", "message": "no heartbeat"}}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'late', 'u', 1, 4, 0, 5, 0, '2026-03-01 08:00:01+00', NULL, '2026-11-26 01:02:35.038957+00', '{"project": "hunt", "domain": "dev", "runName": "late", "name": "u", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:01.000Z", "parent": "root"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'late', 'u', 1, 6, 0, 6, 0, '2026-03-01 08:00:10+00', NULL, '2026-11-26 01:02:35.038957+00', '{"project": "hunt", "domain": "dev", "runName": "late", "name": "u", "phase": "FAILED", "updatedTime": "2026-03-01T08:00:10.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'late', 'u', 1, 5, 0, 7, 0, '2026-03-01 08:08:20+00', NULL, '2026-11-26 01:02:35.038957+00', '{"project": "hunt", "domain": "dev", "runName": "late", "name": "u", "phase": "SUCCEEDED", "updatedTime": "2026-03-01T08:08:20.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs', 'lint', 1, 4, 0, 1, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.044941+00', '{"project": "hunt", "domain": "dev", "runName": "jobs", "name": "lint", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs', 'build', 1, 4, 0, 2, 0, '2026-03-01 08:00:01+00', NULL, '2026-11-26 01:02:35.044941+00', '{"project": "hunt", "domain": "dev", "runName": "jobs", "name": "build", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:01.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs', 'test', 1, 1, 0, 3, 0, '2026-03-01 08:00:01+00', NULL, '2026-11-26 01:02:35.044941+00', '{"project": "hunt", "domain": "dev", "runName": "jobs", "name": "test", "phase": "QUEUED", "updatedTime": "2026-03-01T08:00:01.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs', 'lint', 1, 5, 0, 4, 0, '2026-03-01 08:00:10+00', NULL, '2026-11-26 01:02:35.044941+00', '{"project": "hunt", "domain": "dev", "runName": "jobs", "name": "lint", "phase": "SUCCEEDED", "updatedTime": "2026-03-01T08:00:10.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs', 'build', 1, 6, 0, 5, 0, '2026-03-01 08:06:40+00', NULL, '2026-11-26 01:02:35.046904+00', '{"project": "hunt", "domain": "dev", "runName": "jobs", "name": "build", "phase": "FAILED", "updatedTime": "2026-03-01T08:06:40.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs', 'test', 1, 7, 0, 6, 0, '2026-03-01 08:08:20+00', NULL, '2026-11-26 01:02:35.046904+00', '{"project": "hunt", "domain": "dev", "runName": "jobs", "name": "test", "phase": "ABORTED", "updatedTime": "2026-03-01T08:08:20.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs-going-on', 'lint', 1, 4, 0, 1, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.049333+00', '{"project": "hunt", "domain": "dev", "runName": "jobs-going-on", "name": "lint", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs-going-on', 'build', 1, 4, 0, 2, 0, '2026-03-01 08:00:01+00', NULL, '2026-11-26 01:02:35.049333+00', '{"project": "hunt", "domain": "dev", "runName": "jobs-going-on", "name": "build", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:01.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs-going-on', 'test', 1, 1, 0, 3, 0, '2026-03-01 08:00:01+00', NULL, '2026-11-26 01:02:35.049333+00', '{"project": "hunt", "domain": "dev", "runName": "jobs-going-on", "name": "test", "phase": "QUEUED", "updatedTime": "2026-03-01T08:00:01.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'jobs-going-on', 'lint', 1, 5, 0, 4, 0, '2026-03-01 08:00:10+00', NULL, '2026-11-26 01:02:35.049333+00', '{"project": "hunt", "domain": "dev", "runName": "jobs-going-on", "name": "lint", "phase": "SUCCEEDED", "updatedTime": "2026-03-01T08:00:10.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'lost', 'root', 1, 4, 0, 1, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.050161+00', '{"project": "hunt", "domain": "dev", "runName": "lost", "name": "root", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": null}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'lost', 'child', 1, 6, 0, 0, 0, '2026-03-01 08:00:05+00', NULL, '2026-11-26 01:02:35.050161+00', '{"project": "hunt", "domain": "dev", "runName": "lost", "name": "child", "phase": "FAILED", "updatedTime": "2026-03-01T08:00:05.000Z", "parent": "lost"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'lost', 'root', 1, 5, 0, 2, 0, '2026-03-01 08:00:09+00', NULL, '2026-11-26 01:02:35.050161+00', '{"project": "hunt", "domain": "dev", "runName": "lost", "name": "root", "phase": "SUCCEEDED", "updatedTime": "2026-03-01T08:00:09.000Z"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'only-waiting', 'a1', 1, 4, 0, 0, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.050917+00', '{"project": "hunt", "domain": "dev", "runName": "only-waiting", "name": "a1", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z", "parent": "a0"}');
INSERT INTO public.action_events VALUES ('hunt', 'dev', 'only-waiting', 'a2', 1, 4, 0, 0, 0, '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.050917+00', '{"project": "hunt", "domain": "dev", "runName": "only-waiting", "name": "a2", "phase": "RUNNING", "updatedTime": "2026-03-01T08:00:00.000Z"}');
INSERT INTO public.actions VALUES ('hunt', 'dev', 'retried', 'root', true, NULL, 1, 1, 2, 5, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 15:00:00+00', NULL, 10);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'retried', 'train', true, 'root', 2, 2, 2, 5, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:01+00', '2026-03-01 08:00:01+00', '2026-03-01 15:00:00+00', NULL, 9);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'retrying', 'root', true, NULL, 1, 1, 2, 1, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', NULL, NULL, 5);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'retrying', 'train', true, 'root', 2, 2, 2, 1, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:01+00', '2026-03-01 08:00:01+00', NULL, NULL, 6);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'zombie', 'root', true, NULL, 1, 1, 1, 6, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 08:01:00+00', NULL, 3);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'zombie', 'step', true, 'root', 2, 2, 1, 4, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:01+00', '2026-03-01 08:00:01+00', NULL, NULL, 2);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'paused', 'gate', true, NULL, 1, 1, 1, 9, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', NULL, NULL, 2);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'deferred', 'wait', true, NULL, 1, 1, 1, 4, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:05+00', NULL, NULL, 2);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'late', 'root', true, NULL, 1, 1, 1, 4, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', NULL, NULL, 1);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'late', 't', true, 'root', 2, 2, 1, 6, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:01+00', '2026-03-01 08:00:01+00', '2026-03-01 08:08:20+00', '{"kind":"SYSTEM","message":"no heartbeat"}', 4);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'late', 'u', true, 'root', 3, 2, 1, 6, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:01+00', '2026-03-01 08:00:01+00', '2026-03-01 08:00:10+00', NULL, 6);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'jobs', 'lint', true, NULL, 1, 1, 1, 5, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 08:00:10+00', NULL, 4);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'jobs', 'build', true, NULL, 2, 1, 1, 6, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:01+00', '2026-03-01 08:00:01+00', '2026-03-01 08:06:40+00', NULL, 5);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'jobs', 'test', true, NULL, 3, 1, 1, 7, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:01+00', NULL, '2026-03-01 08:08:20+00', NULL, 6);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'jobs-going-on', 'lint', true, NULL, 1, 1, 1, 5, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 08:00:10+00', NULL, 4);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'jobs-going-on', 'build', true, NULL, 2, 1, 1, 4, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:01+00', '2026-03-01 08:00:01+00', NULL, NULL, 2);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'jobs-going-on', 'test', true, NULL, 3, 1, 1, 1, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:01+00', NULL, NULL, NULL, 3);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'lost', 'root', true, NULL, 1, 1, 1, 5, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 08:00:09+00', NULL, 2);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'lost', 'child', true, 'lost', 0, 0, 1, 6, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:05+00', NULL, '2026-03-01 08:00:05+00', NULL, 0);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'only-waiting', 'a1', true, 'a0', 0, 0, 1, 4, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', NULL, NULL, 0);
INSERT INTO public.actions VALUES ('hunt', 'dev', 'only-waiting', 'a2', false, NULL, 0, 0, 1, 4, 0, NULL, 0, 0, NULL, NULL, 0, 0, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', NULL, NULL, 0);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'retried', '2z1yghdaujxo', 10, 2, '{0,0,0,0,2,0,0,0,0,0}', 'root', 5, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 15:00:00+00', '2026-11-26 01:02:35.022142+00', 728);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'retrying', 'b43f3o2xtwze', 6, 2, '{2,0,0,0,0,0,0,0,0,0}', 'root', 1, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.035291+00', 729);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'zombie', 'yng6nwi4deoz', 3, 2, '{0,0,0,1,0,1,0,0,0,0}', 'root', 6, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 08:01:00+00', '2026-11-26 01:02:35.036344+00', 730);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'paused', 'w8y4opmhvj01', 2, 1, '{0,0,0,0,0,0,0,0,1,0}', 'gate', 9, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.037247+00', 731);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'deferred', 'nea1a2rwhrfc', 3, 1, '{0,0,0,1,0,0,0,0,0,0}', 'wait', 4, '2026-03-01 08:00:00+00', '2026-03-01 08:00:05+00', NULL, '2026-11-26 01:02:35.038117+00', 732);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'late', 'nk30ufkedlu3', 7, 3, '{0,0,0,1,0,2,0,0,0,0}', 'root', 4, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', NULL, '2026-11-26 01:02:35.038957+00', 733);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'jobs', 'njl2lzd7t16f', 6, 3, '{0,0,0,0,1,1,1,0,0,0}', 'lint', 5, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 08:00:10+00', '2026-11-26 01:02:35.044941+00', 735);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'jobs-going-on', 'mz1d6fxy5a4r', 4, 3, '{1,0,0,1,1,0,0,0,0,0}', 'lint', 5, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 08:00:10+00', '2026-11-26 01:02:35.049333+00', 736);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'lost', 'qtoumkvlimbs', 2, 1, '{0,0,0,0,1,0,0,0,0,0}', 'root', 5, '2026-03-01 08:00:00+00', '2026-03-01 08:00:00+00', '2026-03-01 08:00:09+00', '2026-11-26 01:02:35.050161+00', 737);
INSERT INTO public.runs VALUES ('hunt', 'dev', 'only-waiting', 'xdwi32cquthz', 0, 0, '{0,0,0,0,0,0,0,0,0,0}', NULL, 0, NULL, NULL, NULL, '2026-11-26 01:02:35.050917+00', 738);
INSERT INTO public.schema_migrations VALUES (1, 'runs_actions_events', '2026-11-26 01:02:34.86423+00');
INSERT INTO public.schema_migrations VALUES (2, 'runs_changed', '2026-11-26 01:02:34.921312+00');
ALTER TABLE ONLY public.action_events
    ADD CONSTRAINT action_events_pkey PRIMARY KEY (project, domain, run_name, name, attempt, phase, version);
ALTER TABLE ONLY public.actions
    ADD CONSTRAINT actions_pkey PRIMARY KEY (project, domain, run_name, name);
ALTER TABLE ONLY public.deleted_runs
    ADD CONSTRAINT deleted_runs_pkey PRIMARY KEY (project, domain, run_name);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (project, domain, run_name);
ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);
CREATE INDEX action_events_changes ON public.action_events USING btree (project, domain, run_name, revision) WHERE (revision > 0);
CREATE INDEX actions_in_tree_order ON public.actions USING btree (project, domain, run_name, ordinal) WHERE (ordinal > 0);
CREATE INDEX actions_waiting ON public.actions USING btree (project, domain, run_name, parent) WHERE (ordinal = 0);
CREATE INDEX runs_newest ON public.runs USING btree (first_seen_at, project, domain, run_name) WHERE (first_seen_at > '-infinity'::timestamp with time zone);
CREATE INDEX runs_newest_of_domain ON public.runs USING btree (project, domain, first_seen_at, run_name) WHERE (first_seen_at > '-infinity'::timestamp with time zone);
