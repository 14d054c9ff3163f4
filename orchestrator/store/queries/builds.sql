-- Copyright The zfarm Authors
-- SPDX-License-Identifier: Apache-2.0

-- name: Lock :one
-- On PostgreSQL the row stays locked until the transaction ends. It changes
-- nothing, so SQLite, which is locked by then, reads it with Counter instead.
UPDATE counter SET n = n + 0 WHERE name = 'farm' RETURNING *;

-- name: Counter :one
SELECT * FROM counter WHERE name = 'farm';

-- name: Bump :exec
UPDATE counter SET n = n + 1, builds = @builds, events = @events, audits = @audits WHERE name = 'farm';

-- name: Build :one
SELECT * FROM build WHERE id = @id;

-- name: Stages :many
SELECT * FROM stage WHERE build = @build ORDER BY place;

-- name: NeedsOf :many
SELECT * FROM need WHERE build = @build ORDER BY place;

-- name: AddBuild :execrows
INSERT INTO build (id, seq, port, version, recipe, document, uri, path, owner, identity, inputs, priority, paused, checks, wants, verdict, state, cancelled, same_as, submitted, ended, logs_forgotten)
VALUES (@id, @seq, @port, @version, @recipe, @document, @uri, @path, @owner, @identity, @inputs, @priority, @paused, @checks, @wants, @verdict, @state, @cancelled, @same_as, @submitted, @ended, 0)
ON CONFLICT DO NOTHING;

-- name: AddStage :exec
INSERT INTO stage (build, id, place, kind, state, repeat, follows, attempts, fence, worker, lost, not_before, since, output, failure, holder, held_until)
VALUES (@build, @id, @place, @kind, @state, @repeat, @follows, @attempts, @fence, @worker, @lost, @not_before, @since, @output, @failure, '', 0);

-- name: AddNeed :exec
INSERT INTO need (build, place, port, need, uses) VALUES (@build, @place, @port, @need, @uses);

-- name: SaveBuild :execrows
UPDATE build SET state = @state, inputs = @inputs, identity = @identity, priority = @priority, paused = @paused,
    verdict = @verdict, cancelled = @cancelled, same_as = @same_as, ended = @ended
WHERE id = @id;

-- name: SaveStage :execrows
UPDATE stage SET state = @state, attempts = @attempts, fence = @fence, worker = @worker, lost = @lost,
    not_before = @not_before, since = @since, output = @output, failure = @failure,
    holder = CASE WHEN CAST(@held AS BIGINT) = 1 THEN holder ELSE '' END,
    held_until = CASE WHEN CAST(@held AS BIGINT) = 1 THEN held_until ELSE 0 END
WHERE build = @build AND id = @id AND fence = @was_fence AND state = @was_state;

-- name: BuildOfIdentity :one
SELECT * FROM build WHERE identity = @identity AND identity <> '';

-- name: BuildOfInputs :one
SELECT * FROM build WHERE inputs = @inputs AND inputs <> '' AND state = 'succeeded' AND same_as = ''
ORDER BY seq DESC LIMIT 1;

-- name: Offers :many
SELECT * FROM build WHERE port = @port AND state IN ('waiting', 'queued', 'running', 'succeeded')
ORDER BY seq DESC LIMIT 50;

-- name: Dependants :many
SELECT DISTINCT b.id, b.seq FROM need n JOIN build b ON b.id = n.build
WHERE n.need = @need AND b.state IN ('waiting', 'queued', 'running') ORDER BY b.seq;

-- One query for each way to the rows, so that each has its index; the other
-- conditions sift what it yields.

-- name: NewestBuilds :many
SELECT * FROM build WHERE seq < @before ORDER BY seq DESC LIMIT @most;

-- name: BuildsOfPort :many
SELECT * FROM build WHERE port = @port AND seq < @before
    AND (CAST(@owner AS TEXT) = '' OR owner = @owner) AND (CAST(@state AS TEXT) = '' OR state = @state)
ORDER BY seq DESC LIMIT @most;

-- name: BuildsOfOwner :many
SELECT * FROM build WHERE owner = @owner AND seq < @before AND (CAST(@state AS TEXT) = '' OR state = @state)
ORDER BY seq DESC LIMIT @most;

-- name: BuildsInState :many
SELECT * FROM build WHERE state = @state AND seq < @before ORDER BY seq DESC LIMIT @most;

-- name: CountBuilds :one
SELECT count(*) FROM build;

-- name: OldBuilds :many
SELECT b.id FROM build b WHERE b.ended > 0 AND b.ended < @before
    AND NOT EXISTS (SELECT 1 FROM released r WHERE r.build = b.id)
    AND NOT EXISTS (SELECT 1 FROM need n JOIN build d ON d.id = n.build
        WHERE n.need = b.id AND d.state IN ('waiting', 'queued', 'running'))
ORDER BY b.ended LIMIT @most;

-- name: ForgetBuild :exec
DELETE FROM build WHERE id = @id;

-- name: ForgetChunks :exec
DELETE FROM log_chunk WHERE build = @build;

-- name: ForgetLogs :exec
UPDATE step SET log = '' WHERE build = @build AND log <> '';

-- name: SetLogsForgotten :exec
UPDATE build SET logs_forgotten = 1 WHERE id = @id;

-- name: OldLogs :many
SELECT id FROM build WHERE ended > 0 AND ended < @before AND logs_forgotten = 0 ORDER BY ended LIMIT @most;

-- name: TakeHold :execrows
UPDATE stage SET holder = @holder, held_until = @until
WHERE build = @build AND id = @id AND fence = @fence AND state = 'running'
    AND (holder = '' OR holder = @holder OR held_until < @now);

-- name: RenewHold :execrows
UPDATE stage SET held_until = @until
WHERE build = @build AND id = @id AND fence = @fence AND state = 'running' AND holder = @holder;

-- name: DropHold :exec
UPDATE stage SET holder = '', held_until = 0
WHERE build = @build AND id = @id AND fence = @fence AND holder = @holder;

-- name: AddEvent :exec
INSERT INTO event (seq, build, at, stage, from_state, to_state, fence, worker, detail)
VALUES (@seq, @build, @at, @stage, @from_state, @to_state, @fence, @worker, @detail);

-- name: Events :many
SELECT * FROM event WHERE seq > @after ORDER BY seq LIMIT @most;

-- name: EventsOf :many
SELECT * FROM event WHERE build = @build AND seq > @after ORDER BY seq LIMIT @most;

-- name: AddAudit :exec
INSERT INTO audit (seq, at, who, what, subject, detail, request, refused)
VALUES (@seq, @at, @who, @what, @subject, @detail, @request, @refused);

-- name: Audits :many
SELECT * FROM audit WHERE seq > @after ORDER BY seq LIMIT @most;
