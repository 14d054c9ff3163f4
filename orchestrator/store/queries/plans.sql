-- Copyright The zfarm Authors
-- SPDX-License-Identifier: Apache-2.0

-- name: Plan :one
SELECT due FROM plan WHERE name = @name;

-- name: SetPlan :exec
INSERT INTO plan (name, due) VALUES (@name, @due) ON CONFLICT (name) DO UPDATE SET due = excluded.due;

-- name: LeftOn :many
-- What has ended on a worker and may still lie there.
SELECT * FROM attempt WHERE worker = @worker AND worker <> '' AND cleaned = 0 AND ended > 0 AND workspace <> '' ORDER BY begun;

-- name: OneAttempt :one
SELECT * FROM attempt WHERE build = @build AND stage = @stage AND fence = @fence;

-- name: Occupied :one
SELECT EXISTS (SELECT 1 FROM attempt WHERE worker = @worker AND worker <> '' AND workspace = @workspace AND cleaned = 0);

-- name: SetAttemptOutput :execrows
UPDATE attempt SET output = @output WHERE build = @build AND stage = @stage AND fence = @fence AND ended = 0 AND output IN ('', @output);
