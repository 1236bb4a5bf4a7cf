-- Moving images out of the database and back: runs, what they did, and what they moved.

-- The write whose chunks hold the image's bytes; stays while an image that went to R2 keeps its original here.
ALTER TABLE stillstore_images ADD COLUMN embedded_write_id TEXT;
UPDATE stillstore_images SET embedded_write_id =
  (SELECT write_id FROM stillstore_blobs WHERE object_key = storage_key AND stored_at_ms IS NOT NULL)
WHERE status = 'stored' AND storage = 'd1';

-- A move changes nothing but storage, and counts a whole slice at once: two counters a slice instead of two an image.
DROP TRIGGER stillstore_images_recounted_in;
DROP TRIGGER stillstore_images_recounted_out;
CREATE TRIGGER stillstore_images_recounted_in AFTER UPDATE OF status, size_bytes, fallback_reason ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + ifnull(NEW.size_bytes, 0) WHERE status = NEW.status AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_out AFTER UPDATE OF status, size_bytes, fallback_reason ON stillstore_images BEGIN UPDATE stillstore_counters SET images = images - 1, bytes = bytes - ifnull(OLD.size_bytes, 0) WHERE status = OLD.status AND storage = OLD.storage AND fallback = (OLD.fallback_reason IS NOT NULL); END;

CREATE TABLE stillstore_runs (
  id TEXT PRIMARY KEY NOT NULL,
  -- Not IN: SQLite makes a table of more than two values, and D1 counts a row read for each look into it.
  action TEXT NOT NULL
    CHECK (
      action = 'migrate' OR action = 'validate' OR action = 'rollback' OR action = 'cleanup' OR action = 'backup'
      OR action = 'restore'
    ),
  source TEXT NOT NULL,
  -- 1 where the run changes its source or the bucket: one such run a source at a time.
  exclusive INTEGER NOT NULL CHECK (exclusive IN (0, 1)),
  parameters TEXT NOT NULL CHECK (json_valid(parameters)),
  state TEXT NOT NULL
    CHECK (
      state = 'running' OR state = 'paused' OR state = 'cancelled' OR state = 'completed'
      OR state = 'completed_with_errors' OR state = 'failed'
    ),
  -- What its worker was asked to do at the next slice.
  requested TEXT CHECK (requested IN ('pause', 'cancel')),
  progress TEXT NOT NULL CHECK (json_valid(progress)),
  -- Where the next slice begins; NULL at the start.
  cursor TEXT CHECK (json_valid(cursor)),
  -- Keys that a slice is putting, so that whoever takes up the run after a crash removes those that no row came to name.
  in_flight TEXT NOT NULL CHECK (json_valid(in_flight)),
  slices INTEGER NOT NULL,
  lease_token TEXT,
  lease_expires_at_ms INTEGER NOT NULL,
  receipt TEXT CHECK (json_valid(receipt)),
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  finished_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX stillstore_runs_exclusive ON stillstore_runs (source)
  WHERE exclusive = 1 AND state IN ('running', 'paused');
CREATE INDEX stillstore_runs_running ON stillstore_runs (id) WHERE state = 'running';
CREATE INDEX stillstore_runs_by_age ON stillstore_runs (created_at_ms);
CREATE INDEX stillstore_runs_migrations ON stillstore_runs (source, created_at_ms)
  WHERE action = 'migrate' AND exclusive = 1;

-- What a run did, a row a slice: one JSON object a line and an item. Gone once the receipt is in the bucket.
CREATE TABLE stillstore_run_lines (
  run_id TEXT NOT NULL,
  slice INTEGER NOT NULL,
  lines TEXT NOT NULL,
  PRIMARY KEY (run_id, slice)
) STRICT, WITHOUT ROWID;

-- The journal: what was moved, and what the source's row said before.
CREATE TABLE stillstore_moves (
  source TEXT NOT NULL,
  item_id TEXT NOT NULL,
  -- moved: the original is still in the database; cleaned: it is not; restored: the source names the original again.
  stage TEXT NOT NULL CHECK (stage = 'moved' OR stage = 'cleaned' OR stage = 'restored'),
  image_id TEXT NOT NULL,
  storage_key TEXT NOT NULL,
  content_type TEXT NOT NULL,
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
  original TEXT NOT NULL CHECK (json_valid(original)),
  run_id TEXT NOT NULL,
  moved_at_ms INTEGER NOT NULL,
  PRIMARY KEY (source, item_id)
) STRICT, WITHOUT ROWID;

-- Entries by stage, kept exact by whoever changes the journal, so that telling how far things are never scans it.
CREATE TABLE stillstore_move_counters (
  source TEXT NOT NULL,
  stage TEXT NOT NULL,
  items INTEGER NOT NULL,
  PRIMARY KEY (source, stage)
) STRICT, WITHOUT ROWID;

-- Serving an image of an application's table. Embedded images are found in stillstore_images.
CREATE UNIQUE INDEX stillstore_moves_by_image ON stillstore_moves (image_id) WHERE source <> 'embedded';
