-- Copyright The zfarm Authors
-- SPDX-License-Identifier: Apache-2.0

-- name: AddAttempt :execrows
INSERT INTO attempt (build, stage, fence, worker, workspace, begun, ended, outcome, detail, cleaned, output)
VALUES (@build, @stage, @fence, @worker, @workspace, @begun, @ended, @outcome, @detail, @cleaned, '')
ON CONFLICT DO NOTHING;

-- name: EndAttempt :execrows
UPDATE attempt SET ended = @ended, outcome = @outcome, detail = @detail
WHERE build = @build AND stage = @stage AND fence = @fence AND ended = 0;

-- name: CleanAttempt :execrows
UPDATE attempt SET cleaned = 1 WHERE build = @build AND stage = @stage AND fence = @fence;

-- name: HasAttempt :one
SELECT EXISTS (SELECT 1 FROM attempt WHERE build = @build AND stage = @stage AND fence = @fence);

-- name: Attempts :many
SELECT * FROM attempt WHERE build = @build ORDER BY begun, stage, fence;

-- name: AddStep :execrows
INSERT INTO step (build, stage, fence, name, place, begun, status, took, size, log)
SELECT CAST(@build AS TEXT), CAST(@stage AS TEXT), CAST(@fence AS BIGINT), CAST(@name AS TEXT), COALESCE(max(place), 0) + 1, CAST(@begun AS BIGINT), '', 0, 0, ''
FROM step WHERE build = @build AND stage = @stage AND fence = @fence
ON CONFLICT DO NOTHING;

-- name: Step :one
SELECT * FROM step WHERE build = @build AND stage = @stage AND fence = @fence AND name = @name;

-- name: Steps :many
SELECT * FROM step WHERE build = @build AND stage = @stage AND fence = @fence ORDER BY place;

-- name: GrowLog :execrows
UPDATE step SET size = @size WHERE build = @build AND stage = @stage AND fence = @fence AND name = @name
    AND size = @was AND status = '';

-- name: EndStep :execrows
UPDATE step SET status = @status, took = @took, log = @log
WHERE build = @build AND stage = @stage AND fence = @fence AND name = @name;

-- name: AddChunk :exec
INSERT INTO log_chunk (build, stage, fence, step, off, data) VALUES (@build, @stage, @fence, @step, @off, @data);

-- name: Chunks :many
SELECT off, data FROM log_chunk
WHERE build = @build AND stage = @stage AND fence = @fence AND step = @step AND off > @after AND off < @until
ORDER BY off;

-- name: DeleteLog :exec
DELETE FROM log_chunk WHERE log_chunk.build = @build AND log_chunk.stage = @stage AND log_chunk.fence = @fence
    AND EXISTS (SELECT 1 FROM step s WHERE s.build = log_chunk.build AND s.stage = log_chunk.stage
        AND s.fence = log_chunk.fence AND s.name = log_chunk.step AND s.log <> '');
