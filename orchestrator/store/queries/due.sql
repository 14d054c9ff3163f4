-- Copyright The zfarm Authors
-- SPDX-License-Identifier: Apache-2.0

-- name: ReadyRepeats :many
SELECT build, id, since FROM stage
WHERE state = 'ready' AND kind = 'repeat' AND not_before <= @now
ORDER BY build, place;

-- name: LostRepeats :many
SELECT build, id, lost FROM stage
WHERE state = 'ready' AND kind = 'repeat' AND not_before <= @now AND lost <> ''
ORDER BY build, place;

-- name: UsedWorkers :many
SELECT s.build, s.id, s.worker FROM stage s
WHERE s.kind = 'repeat' AND s.worker <> ''
    AND s.build IN (SELECT r.build FROM stage r WHERE r.state = 'ready')
ORDER BY s.build, s.place;

-- A build has ended when it is over, and not before.

-- name: ReadyBuilds :many
SELECT seq, id, priority FROM build WHERE ended = 0 AND paused = 0 ORDER BY seq;

-- name: LivingBuilds :many
SELECT seq, id, state FROM build WHERE ended = 0 ORDER BY seq;

-- name: Tally :many
SELECT state, count(*) FROM build GROUP BY state;

-- name: CountReady :one
SELECT count(*) FROM stage
WHERE state = 'ready' AND kind = 'repeat' AND not_before <= @now
    AND build NOT IN (SELECT id FROM build WHERE paused = 1);

-- name: DueReady :many
SELECT s.build, s.id FROM stage s JOIN build b ON b.id = s.build
WHERE s.state = 'ready' AND s.kind <> 'repeat' AND s.not_before <= @now AND b.paused = 0
ORDER BY b.seq, s.place LIMIT @most;

-- name: DueRunning :many
SELECT s.build, s.id FROM stage s
WHERE s.state = 'running' AND (s.holder = '' OR s.held_until < @now)
ORDER BY s.held_until, s.build, s.place LIMIT @most;

-- name: DueMatch :one
SELECT EXISTS (SELECT 1 FROM stage s JOIN build b ON b.id = s.build
    WHERE s.state = 'ready' AND s.kind = 'repeat' AND s.not_before <= @now AND b.paused = 0);

-- name: DueNeeds :many
SELECT b.id FROM build b
WHERE b.state = 'waiting'
    AND NOT EXISTS (SELECT 1 FROM need n JOIN build d ON d.id = n.need
        WHERE n.build = b.id AND d.state IN ('waiting', 'queued', 'running'))
ORDER BY b.seq LIMIT @most;

-- name: DueProbes :many
SELECT DISTINCT a.worker FROM attempt a JOIN worker w ON w.name = a.worker
WHERE a.cleaned = 0 AND a.worker <> '' AND a.ended > 0 AND w.registered = 1
ORDER BY a.worker;
