-- The catalogue: one row is the truth about where an image is.
--
-- Tables carry the prefix stillstore_, so that they can share a database with an application's own.

CREATE TABLE stillstore_images (
  id TEXT PRIMARY KEY NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'stored', 'deleting', 'deleted')),
  storage TEXT NOT NULL CHECK (storage IN ('r2', 'd1')),
  -- Unique: two images must never share an object, or deleting one would lose the other.
  storage_key TEXT NOT NULL UNIQUE,
  content_type TEXT NOT NULL,
  visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
  filename TEXT,
  context TEXT,
  persona_id TEXT,
  session_id TEXT,
  participant_id TEXT,
  table_id TEXT,
  labels TEXT NOT NULL CHECK (json_valid(labels)),
  generation TEXT CHECK (json_valid(generation)),
  size_bytes INTEGER CHECK (size_bytes >= 0),
  sha256 TEXT CHECK (length(sha256) = 64),
  width INTEGER,
  height INTEGER,
  fallback_reason TEXT,
  version INTEGER NOT NULL CHECK (version >= 1),
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  CHECK ((size_bytes IS NULL) = (sha256 IS NULL)),
  CHECK ((width IS NULL) = (height IS NULL)),
  CHECK (status <> 'stored' OR size_bytes IS NOT NULL),
  -- A tombstone holds nothing that a person wrote; storage_key is replaced too, for it may hold a file name.
  CHECK (
    status <> 'deleted'
    OR (
      storage_key = 'stillstore/deleted/' || id
      AND labels = '{}'
      AND coalesce(
        filename, context, persona_id, session_id, participant_id, table_id, generation, fallback_reason
      ) IS NULL
    )
  )
) STRICT;

-- Listings, newest first. Those of stored images, nearly all of them, have narrow indexes of their own.
CREATE INDEX stillstore_images_by_status ON stillstore_images (status, created_at_ms, id);
CREATE INDEX stillstore_images_by_storage ON stillstore_images (storage, created_at_ms, id)
  WHERE status = 'stored';
CREATE INDEX stillstore_images_by_persona ON stillstore_images (persona_id, created_at_ms, id)
  WHERE status = 'stored' AND persona_id IS NOT NULL;
CREATE INDEX stillstore_images_by_session ON stillstore_images (session_id, created_at_ms, id)
  WHERE status = 'stored' AND session_id IS NOT NULL;

-- The sweep: reservations never committed, deletions never finished, tombstones past their time.
CREATE INDEX stillstore_images_unfinished ON stillstore_images (updated_at_ms)
  WHERE status IN ('pending', 'deleting');
CREATE INDEX stillstore_images_tombstones ON stillstore_images (updated_at_ms)
  WHERE status = 'deleted';

-- Totals over stillstore_images, kept exact by the triggers below, so that reading them never scans the table.
-- One row for each value that the key can take; fallback is 1 where fallback_reason is not NULL.
CREATE TABLE stillstore_counters (
  status TEXT NOT NULL,
  storage TEXT NOT NULL,
  fallback INTEGER NOT NULL,
  images INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (status, storage, fallback)
) STRICT, WITHOUT ROWID;

INSERT INTO stillstore_counters (status, storage, fallback, images, bytes)
SELECT statuses.value, storages.value, fallbacks.value, 0, 0
FROM json_each('["pending", "stored", "deleting", "deleted"]') AS statuses
CROSS JOIN json_each('["r2", "d1"]') AS storages
CROSS JOIN json_each('[0, 1]') AS fallbacks;

-- One line and capital keywords each: D1's remote parser cuts other forms at the inner semicolon.
CREATE TRIGGER stillstore_images_counted_in AFTER INSERT ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + ifnull(NEW.size_bytes, 0) WHERE status = NEW.status AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_counted_out AFTER DELETE ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images - 1, bytes = bytes - ifnull(OLD.size_bytes, 0) WHERE status = OLD.status AND storage = OLD.storage AND fallback = (OLD.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_in AFTER UPDATE OF status, storage, size_bytes, fallback_reason ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + ifnull(NEW.size_bytes, 0) WHERE status = NEW.status AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_out AFTER UPDATE OF status, storage, size_bytes, fallback_reason ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images - 1, bytes = bytes - ifnull(OLD.size_bytes, 0) WHERE status = OLD.status AND storage = OLD.storage AND fallback = (OLD.fallback_reason IS NOT NULL); END;

-- Idempotency keys, by digest only: a key is the caller's own text. Rows are small, so they live in the primary key.
CREATE TABLE stillstore_idempotency (
  key_digest TEXT PRIMARY KEY NOT NULL,
  body_digest TEXT NOT NULL,
  image_id TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('claimed', 'completed')),
  lease_expires_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_idempotency_by_expiry ON stillstore_idempotency (expires_at_ms);
