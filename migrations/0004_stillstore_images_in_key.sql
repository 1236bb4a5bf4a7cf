-- The catalogue's rows live in their primary key: storing an image writes one row less, and moving one reads one row less, because an
-- upsert that finds its row in a table WITHOUT ROWID counts as no read. The columns, indexes and triggers are those of before.

CREATE TABLE stillstore_images_in_key (
  id TEXT PRIMARY KEY NOT NULL,
  -- Not IN: SQLite makes a table of more than two values, and D1 counts a row read for each look into it.
  status TEXT NOT NULL
    CHECK (status = 'pending' OR status = 'stored' OR status = 'deleting' OR status = 'deleted'),
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
  -- The write whose chunks hold the image's bytes; stays while an image that went to R2 keeps its original here.
  embedded_write_id TEXT,
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
) STRICT, WITHOUT ROWID;

INSERT INTO stillstore_images_in_key (
  id, status, storage, storage_key, content_type, visibility, filename, context, persona_id, session_id,
  participant_id, table_id, labels, generation, size_bytes, sha256, width, height, fallback_reason, version,
  created_at_ms, updated_at_ms, embedded_write_id
) SELECT
  id, status, storage, storage_key, content_type, visibility, filename, context, persona_id, session_id,
  participant_id, table_id, labels, generation, size_bytes, sha256, width, height, fallback_reason, version,
  created_at_ms, updated_at_ms, embedded_write_id
FROM stillstore_images;

DROP TABLE stillstore_images;
ALTER TABLE stillstore_images_in_key RENAME TO stillstore_images;

CREATE INDEX stillstore_images_by_status ON stillstore_images (status, created_at_ms, id);
CREATE INDEX stillstore_images_by_storage ON stillstore_images (storage, created_at_ms, id)
  WHERE status = 'stored';
CREATE INDEX stillstore_images_by_persona ON stillstore_images (persona_id, created_at_ms, id)
  WHERE status = 'stored' AND persona_id IS NOT NULL;
CREATE INDEX stillstore_images_by_session ON stillstore_images (session_id, created_at_ms, id)
  WHERE status = 'stored' AND session_id IS NOT NULL;
CREATE INDEX stillstore_images_unfinished ON stillstore_images (updated_at_ms)
  WHERE status IN ('pending', 'deleting');
CREATE INDEX stillstore_images_tombstones ON stillstore_images (updated_at_ms)
  WHERE status = 'deleted';

CREATE TRIGGER stillstore_images_counted_in AFTER INSERT ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + ifnull(NEW.size_bytes, 0) WHERE status = NEW.status AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_counted_out AFTER DELETE ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images - 1, bytes = bytes - ifnull(OLD.size_bytes, 0) WHERE status = OLD.status AND storage = OLD.storage AND fallback = (OLD.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_in AFTER UPDATE OF status, size_bytes, fallback_reason ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + ifnull(NEW.size_bytes, 0) WHERE status = NEW.status AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_out AFTER UPDATE OF status, size_bytes, fallback_reason ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images - 1, bytes = bytes - ifnull(OLD.size_bytes, 0) WHERE status = OLD.status AND storage = OLD.storage AND fallback = (OLD.fallback_reason IS NOT NULL); END;

-- An upsert that is to change a row offers one without a key or a source, which is refused when there is no row to change.
CREATE TRIGGER stillstore_images_found AFTER INSERT ON stillstore_images WHEN NEW.storage_key = '' BEGIN SELECT RAISE(ABORT, 'constraint failed: stillstore_images has no such row'); END;
CREATE TRIGGER stillstore_runs_found AFTER INSERT ON stillstore_runs WHEN NEW.source = '' BEGIN SELECT RAISE(ABORT, 'constraint failed: stillstore_runs has no such row'); END;
