-- Objects of another bucket that readers ask for before a run has moved them: who is fetching which, and what the bucket does not have.
-- In the catalogue's database, beside the journals of buckets.

-- One row for each object that is being fetched for a reader, gone once the journal has it. A run leaves such an object to the reader.
CREATE TABLE stillstore_read_throughs (
  source TEXT NOT NULL,
  item_id TEXT NOT NULL,
  -- The key that is being put; NULL until it is known.
  storage_key TEXT,
  lease_token TEXT,
  lease_expires_at_ms INTEGER NOT NULL,
  PRIMARY KEY (source, item_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_read_throughs_by_lease ON stillstore_read_throughs (lease_expires_at_ms);

-- What was asked for in vain. An item has one slot of 4,096, by its name: the table does not grow with what callers think of.
CREATE TABLE stillstore_read_misses (
  slot INTEGER PRIMARY KEY NOT NULL,
  source TEXT NOT NULL,
  item_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT;

-- What readers fetched of each source.
CREATE TABLE stillstore_read_counters (
  source TEXT PRIMARY KEY NOT NULL,
  items INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  last_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Moved images that were deleted here. A tombstone is forgotten after 30 days; the other bucket may have the object for longer.
CREATE TABLE stillstore_deleted_moves (
  image_id TEXT PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER stillstore_images_deleted_moves AFTER UPDATE OF status ON stillstore_images WHEN OLD.status = 'stored' AND NEW.status <> 'stored' AND OLD.source IS NOT NULL BEGIN INSERT OR IGNORE INTO stillstore_deleted_moves (image_id) VALUES (NEW.id); END;

-- Runs that look whether a source can be switched off have a new action, which the table's CHECK has to know.
CREATE TABLE stillstore_runs_of_all_actions (
  id TEXT PRIMARY KEY NOT NULL,
  -- Not IN: SQLite makes a table of more than two values, and D1 counts a row read for each look into it.
  action TEXT NOT NULL
    CHECK (
      action = 'migrate' OR action = 'validate' OR action = 'rollback' OR action = 'cleanup' OR action = 'backup'
      OR action = 'restore' OR action = 'complete'
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

INSERT INTO stillstore_runs_of_all_actions (id, action, source, exclusive, parameters, state, requested, progress, cursor, in_flight, slices, lease_token, lease_expires_at_ms, receipt, created_at_ms, updated_at_ms, finished_at_ms) SELECT id, action, source, exclusive, parameters, state, requested, progress, cursor, in_flight, slices, lease_token, lease_expires_at_ms, receipt, created_at_ms, updated_at_ms, finished_at_ms FROM stillstore_runs;

DROP TABLE stillstore_runs;
ALTER TABLE stillstore_runs_of_all_actions RENAME TO stillstore_runs;

CREATE UNIQUE INDEX stillstore_runs_exclusive ON stillstore_runs (source)
  WHERE exclusive = 1 AND state IN ('running', 'paused');
CREATE INDEX stillstore_runs_running ON stillstore_runs (id) WHERE state = 'running';
CREATE INDEX stillstore_runs_by_age ON stillstore_runs (created_at_ms);
CREATE INDEX stillstore_runs_migrations ON stillstore_runs (source, created_at_ms)
  WHERE action = 'migrate' AND exclusive = 1;
CREATE INDEX stillstore_runs_by_source ON stillstore_runs (source, created_at_ms);
CREATE TRIGGER stillstore_runs_found AFTER INSERT ON stillstore_runs WHEN NEW.source = '' BEGIN SELECT RAISE(ABORT, 'constraint failed: stillstore_runs has no such row'); END;
