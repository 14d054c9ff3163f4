-- Copyright The zfarm Authors
-- SPDX-License-Identifier: Apache-2.0

-- One dialect for SQLite and PostgreSQL: TEXT, BIGINT and BYTEA only. Times are
-- milliseconds since 1970, 0 for none; durations are nanoseconds; digests are
-- "sha256:" and digits, "" for none; lists and small values are JSON.

-- +goose Up

-- The one row that every transition locks first. Numbers drawn from it have no
-- gaps and are in the order of commits.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    n BIGINT NOT NULL,
    builds BIGINT NOT NULL,
    events BIGINT NOT NULL,
    audits BIGINT NOT NULL
);
INSERT INTO counter (name, n, builds, events, audits) VALUES ('farm', 0, 0, 0, 0);

CREATE TABLE build (
    id TEXT PRIMARY KEY,
    seq BIGINT NOT NULL UNIQUE,
    port TEXT NOT NULL,
    version TEXT NOT NULL,
    recipe TEXT NOT NULL,
    document TEXT NOT NULL,
    uri TEXT NOT NULL,
    path TEXT NOT NULL,
    owner TEXT NOT NULL,
    identity TEXT NOT NULL,
    inputs TEXT NOT NULL,
    priority BIGINT NOT NULL,
    paused BIGINT NOT NULL,
    checks TEXT NOT NULL,
    wants TEXT NOT NULL,
    verdict TEXT NOT NULL,
    state TEXT NOT NULL,
    cancelled BIGINT NOT NULL,
    same_as TEXT NOT NULL,
    submitted BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    logs_forgotten BIGINT NOT NULL
);
CREATE UNIQUE INDEX build_identity ON build (identity) WHERE identity <> '';
CREATE INDEX build_inputs ON build (inputs, state, seq) WHERE inputs <> '';
CREATE INDEX build_port ON build (port, seq);
CREATE INDEX build_owner ON build (owner, seq);
CREATE INDEX build_state ON build (state, seq);
CREATE INDEX build_ended ON build (ended) WHERE ended > 0;
CREATE INDEX build_document ON build (document);
CREATE INDEX build_logs ON build (ended) WHERE ended > 0 AND logs_forgotten = 0;
CREATE INDEX build_paused ON build (id) WHERE paused = 1;
-- What every decision about slots reads: this index and stage_ready hold all of it.
CREATE INDEX build_living ON build (seq, id, state, priority, paused) WHERE ended = 0;

CREATE TABLE stage (
    build TEXT NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    place BIGINT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    repeat BIGINT NOT NULL,
    follows TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    worker TEXT NOT NULL,
    lost TEXT NOT NULL,
    not_before BIGINT NOT NULL,
    since BIGINT NOT NULL,
    output TEXT NOT NULL,
    failure TEXT NOT NULL,
    holder TEXT NOT NULL,
    held_until BIGINT NOT NULL,
    PRIMARY KEY (build, id)
);
CREATE INDEX stage_ready ON stage (build, place, id, kind, since, not_before, lost) WHERE state = 'ready';
CREATE INDEX stage_used ON stage (build, place, id, worker) WHERE kind = 'repeat' AND worker <> '';
CREATE INDEX stage_running ON stage (build) WHERE state = 'running';
CREATE INDEX stage_output ON stage (output) WHERE output <> '';

CREATE TABLE need (
    build TEXT NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    place BIGINT NOT NULL,
    port TEXT NOT NULL,
    need TEXT NOT NULL,
    uses TEXT NOT NULL,
    PRIMARY KEY (build, place)
);
CREATE INDEX need_need ON need (need);

CREATE TABLE attempt (
    build TEXT NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    fence BIGINT NOT NULL,
    worker TEXT NOT NULL,
    workspace TEXT NOT NULL,
    begun BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    cleaned BIGINT NOT NULL,
    output TEXT NOT NULL,
    PRIMARY KEY (build, stage, fence)
);
CREATE INDEX attempt_left ON attempt (worker) WHERE cleaned = 0 AND worker <> '';

CREATE TABLE step (
    build TEXT NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    stage TEXT NOT NULL,
    fence BIGINT NOT NULL,
    name TEXT NOT NULL,
    place BIGINT NOT NULL,
    begun BIGINT NOT NULL,
    status TEXT NOT NULL,
    took BIGINT NOT NULL,
    size BIGINT NOT NULL,
    log TEXT NOT NULL,
    PRIMARY KEY (build, stage, fence, name)
);
CREATE UNIQUE INDEX step_place ON step (build, stage, fence, place);
CREATE INDEX step_log ON step (log) WHERE log <> '';

CREATE TABLE log_chunk (
    build TEXT NOT NULL,
    stage TEXT NOT NULL,
    fence BIGINT NOT NULL,
    step TEXT NOT NULL,
    off BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (build, stage, fence, step, off)
);

CREATE TABLE event (
    seq BIGINT PRIMARY KEY,
    build TEXT NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    at BIGINT NOT NULL,
    stage TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    fence BIGINT NOT NULL,
    worker TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX event_build ON event (build, seq);

CREATE TABLE audit (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    request TEXT NOT NULL,
    refused BIGINT NOT NULL
);

CREATE TABLE worker (
    name TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    labels TEXT NOT NULL,
    slots BIGINT NOT NULL,
    draining BIGINT NOT NULL,
    -- The code of the quarantine, "" for none; since when, why and by whom.
    quarantine TEXT NOT NULL,
    quarantined BIGINT NOT NULL,
    quarantine_detail TEXT NOT NULL,
    quarantine_who TEXT NOT NULL,
    facts TEXT NOT NULL,
    probed BIGINT NOT NULL,
    registered BIGINT NOT NULL
);

-- A slot is free while build is "".
CREATE TABLE slot (
    worker TEXT NOT NULL REFERENCES worker (name),
    place BIGINT NOT NULL,
    build TEXT NOT NULL,
    stage TEXT NOT NULL,
    fence BIGINT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (worker, place)
);
CREATE UNIQUE INDEX slot_stage ON slot (build, stage) WHERE build <> '';

CREATE TABLE released (
    port TEXT NOT NULL,
    version TEXT NOT NULL,
    build TEXT NOT NULL REFERENCES build (id),
    at BIGINT NOT NULL,
    verdict TEXT NOT NULL,
    signed BIGINT NOT NULL,
    not_reproduced TEXT NOT NULL,
    PRIMARY KEY (port, version)
);
CREATE INDEX released_build ON released (build);

CREATE TABLE file (
    build TEXT NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    media_type TEXT NOT NULL,
    PRIMARY KEY (build, name)
);
CREATE INDEX file_digest ON file (digest);

CREATE TABLE kept (
    build TEXT NOT NULL REFERENCES build (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    PRIMARY KEY (build, digest)
);
CREATE INDEX kept_digest ON kept (digest);

CREATE TABLE duration (
    port TEXT NOT NULL,
    kind TEXT NOT NULL,
    mean BIGINT NOT NULL,
    samples BIGINT NOT NULL,
    PRIMARY KEY (port, kind)
);

CREATE TABLE token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    roles TEXT NOT NULL,
    ports TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    revoked BIGINT NOT NULL
);

-- When a plan of rebuilding is due next.
CREATE TABLE plan (
    name TEXT PRIMARY KEY,
    due BIGINT NOT NULL
);
