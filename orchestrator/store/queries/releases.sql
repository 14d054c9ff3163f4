-- Copyright The zfarm Authors
-- SPDX-License-Identifier: Apache-2.0

-- name: AddFile :exec
INSERT INTO file (build, name, digest, size, media_type) VALUES (@build, @name, @digest, @size, @media_type)
ON CONFLICT (build, name) DO UPDATE SET digest = excluded.digest, size = excluded.size, media_type = excluded.media_type;

-- name: Files :many
SELECT * FROM file WHERE build = @build ORDER BY name;

-- name: PutRelease :exec
INSERT INTO released (port, version, build, at, verdict, signed, not_reproduced)
VALUES (@port, @version, @build, @at, @verdict, @signed, @not_reproduced)
ON CONFLICT (port, version) DO UPDATE SET build = excluded.build, at = excluded.at, verdict = excluded.verdict,
    signed = excluded.signed, not_reproduced = excluded.not_reproduced;

-- name: SetNotReproduced :execrows
UPDATE released SET not_reproduced = @not_reproduced WHERE port = @port AND version = @version;

-- name: Releases :many
SELECT * FROM released WHERE CAST(@version AS TEXT) = '' OR version = @version ORDER BY port, version;

-- name: ReleasesOf :many
SELECT * FROM released WHERE port = @port AND (CAST(@version AS TEXT) = '' OR version = @version) ORDER BY version;

-- name: IsReleased :one
SELECT EXISTS (SELECT 1 FROM released WHERE build = @build);

-- name: Keep :exec
INSERT INTO kept (build, digest) VALUES (@build, @digest) ON CONFLICT DO NOTHING;

-- name: Kept :one
SELECT EXISTS (
    SELECT 1 FROM kept k WHERE k.digest = @digest
    UNION ALL SELECT 1 FROM file f WHERE f.digest = @digest
    UNION ALL SELECT 1 FROM stage s WHERE s.output = @digest AND s.output <> ''
    UNION ALL SELECT 1 FROM step t WHERE t.log = @digest AND t.log <> ''
    UNION ALL SELECT 1 FROM build b WHERE b.document = @digest);

-- name: Learn :exec
INSERT INTO duration (port, kind, mean, samples) VALUES (@port, @kind, @took, 1)
ON CONFLICT (port, kind) DO UPDATE SET mean = (duration.mean + excluded.mean) / 2, samples = duration.samples + 1;

-- name: Durations :many
SELECT * FROM duration WHERE kind = @kind;

-- name: AddToken :execrows
INSERT INTO token (id, name, hash, roles, ports, created, expires, revoked)
VALUES (@id, @name, @hash, @roles, @ports, @created, @expires, @revoked)
ON CONFLICT DO NOTHING;

-- name: RevokeToken :execrows
UPDATE token SET revoked = 1 WHERE id = @id;

-- name: Tokens :many
SELECT * FROM token ORDER BY created, id;

-- name: TokenOfHash :one
SELECT * FROM token WHERE hash = @hash;
