-- Copyright The zfarm Authors
-- SPDX-License-Identifier: Apache-2.0

-- name: UnregisterWorkers :exec
UPDATE worker SET registered = 0 WHERE registered = 1;

-- name: RegisterWorker :exec
INSERT INTO worker (name, address, labels, slots, draining, quarantine, quarantined, quarantine_detail, quarantine_who, facts, probed, registered)
VALUES (@name, @address, @labels, @slots, 0, '', 0, '', '', '', 0, 1)
ON CONFLICT (name) DO UPDATE SET address = excluded.address, labels = excluded.labels, slots = excluded.slots, registered = 1;

-- name: SetWorker :execrows
UPDATE worker SET draining = @draining, quarantine = @quarantine, quarantined = @quarantined,
    quarantine_detail = @quarantine_detail, quarantine_who = @quarantine_who, facts = @facts, probed = @probed
WHERE name = @name;

-- name: Workers :many
SELECT * FROM worker ORDER BY name;

-- name: Worker :one
SELECT * FROM worker WHERE name = @name;

-- name: AddSlot :exec
INSERT INTO slot (worker, place, build, stage, fence, since) VALUES (@worker, @place, '', '', 0, 0) ON CONFLICT DO NOTHING;

-- name: ShrinkSlots :exec
DELETE FROM slot WHERE slot.worker = @worker AND slot.build = ''
    AND slot.place > (SELECT w.slots FROM worker w WHERE w.name = slot.worker);

-- name: TakeSlot :execrows
-- A worker that shrank may still hold slots beyond its present number, so the
-- taken ones are counted.
UPDATE slot SET build = @build, stage = @stage, fence = @fence, since = @since
WHERE slot.worker = @worker
    AND slot.place = (SELECT min(f.place) FROM slot f WHERE f.worker = @worker AND f.build = '')
    AND (SELECT count(*) FROM slot t WHERE t.worker = @worker AND t.build <> '')
        < (SELECT w.slots FROM worker w WHERE w.name = @worker AND w.registered = 1 AND w.draining = 0 AND w.quarantine = '')
    AND NOT EXISTS (SELECT 1 FROM slot h WHERE h.build = @build AND h.stage = @stage);

-- name: FreeSlot :one
UPDATE slot SET build = '', stage = '', fence = 0, since = 0 WHERE build = @build AND stage = @stage AND fence = @fence AND build <> ''
RETURNING worker;

-- name: TakenSlots :many
SELECT * FROM slot WHERE build <> '' ORDER BY worker, place;

-- name: TakenSlotsOf :many
SELECT * FROM slot WHERE worker = @worker AND build <> '' ORDER BY place;
