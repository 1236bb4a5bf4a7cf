-- What the operator sees: who and what the stored images belong to, how many objects were put into R2 this month, and what each day ended with.
-- Triggers count, in the transaction that changes an image. Storing an image writes one row more, and so does deleting one; moving an
-- embedded one between its homes writes none.

-- Objects put into R2 for images: since this was applied, and in `month` (as 202611). They are in a row that is written anyway. A Worker
-- of the version before does not count those that its migrations put.
ALTER TABLE stillstore_counters ADD COLUMN puts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stillstore_counters ADD COLUMN month INTEGER NOT NULL DEFAULT 0;
ALTER TABLE stillstore_counters ADD COLUMN month_puts INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER stillstore_images_counted_in;
DROP TRIGGER stillstore_images_recounted_in;
CREATE TRIGGER stillstore_images_counted_in AFTER INSERT ON stillstore_images WHEN NEW.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + NEW.size_bytes, puts = puts + (NEW.storage = 'r2'), month_puts = iif(CAST(strftime('%Y%m', NEW.updated_at_ms / 1000, 'unixepoch') AS INTEGER) > month, 0, month_puts) + (NEW.storage = 'r2'), month = max(month, CAST(strftime('%Y%m', NEW.updated_at_ms / 1000, 'unixepoch') AS INTEGER)) WHERE status = iif(NEW.source IS NULL, 'stored', 'moved') AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_in AFTER UPDATE OF status, size_bytes, fallback_reason, source ON stillstore_images WHEN NEW.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + NEW.size_bytes, puts = puts + (NEW.storage = 'r2' AND OLD.status <> 'stored'), month_puts = iif(CAST(strftime('%Y%m', NEW.updated_at_ms / 1000, 'unixepoch') AS INTEGER) > month, 0, month_puts) + (NEW.storage = 'r2' AND OLD.status <> 'stored'), month = max(month, CAST(strftime('%Y%m', NEW.updated_at_ms / 1000, 'unixepoch') AS INTEGER)) WHERE status = iif(NEW.source IS NULL, 'stored', 'moved') AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;

-- One row for each kind of image, context and owner; an empty text for none.
CREATE TABLE stillstore_holdings (
  kind TEXT NOT NULL,
  context TEXT NOT NULL,
  owner_id TEXT NOT NULL,
  images INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  PRIMARY KEY (kind, context, owner_id)
) STRICT, WITHOUT ROWID;

INSERT INTO stillstore_holdings (kind, context, owner_id, images, bytes) SELECT CASE WHEN source IS NOT NULL THEN 'moved' WHEN generation IS NOT NULL THEN 'generated' WHEN ordinal IS NOT NULL THEN 'frame' WHEN parent_id IS NOT NULL THEN 'output' WHEN collection_id IS NOT NULL THEN 'asset' ELSE 'upload' END, ifnull(context, ''), ifnull(owner_id, ''), count(*), sum(size_bytes) FROM stillstore_images WHERE status = 'stored' GROUP BY 1, 2, 3;

CREATE TRIGGER stillstore_holdings_in AFTER INSERT ON stillstore_images WHEN NEW.status = 'stored' BEGIN INSERT INTO stillstore_holdings (kind, context, owner_id, images, bytes) VALUES (CASE WHEN NEW.source IS NOT NULL THEN 'moved' WHEN NEW.generation IS NOT NULL THEN 'generated' WHEN NEW.ordinal IS NOT NULL THEN 'frame' WHEN NEW.parent_id IS NOT NULL THEN 'output' WHEN NEW.collection_id IS NOT NULL THEN 'asset' ELSE 'upload' END, ifnull(NEW.context, ''), ifnull(NEW.owner_id, ''), 1, NEW.size_bytes) ON CONFLICT (kind, context, owner_id) DO UPDATE SET images = images + 1, bytes = bytes + excluded.bytes; END;
CREATE TRIGGER stillstore_holdings_out AFTER DELETE ON stillstore_images WHEN OLD.status = 'stored' BEGIN UPDATE stillstore_holdings SET images = images - 1, bytes = bytes - OLD.size_bytes WHERE kind = CASE WHEN OLD.source IS NOT NULL THEN 'moved' WHEN OLD.generation IS NOT NULL THEN 'generated' WHEN OLD.ordinal IS NOT NULL THEN 'frame' WHEN OLD.parent_id IS NOT NULL THEN 'output' WHEN OLD.collection_id IS NOT NULL THEN 'asset' ELSE 'upload' END AND context = ifnull(OLD.context, '') AND owner_id = ifnull(OLD.owner_id, ''); END;
CREATE TRIGGER stillstore_holdings_again_in AFTER UPDATE OF status, size_bytes, context, owner_id, generation, source, ordinal, parent_id, collection_id ON stillstore_images WHEN NEW.status = 'stored' BEGIN INSERT INTO stillstore_holdings (kind, context, owner_id, images, bytes) VALUES (CASE WHEN NEW.source IS NOT NULL THEN 'moved' WHEN NEW.generation IS NOT NULL THEN 'generated' WHEN NEW.ordinal IS NOT NULL THEN 'frame' WHEN NEW.parent_id IS NOT NULL THEN 'output' WHEN NEW.collection_id IS NOT NULL THEN 'asset' ELSE 'upload' END, ifnull(NEW.context, ''), ifnull(NEW.owner_id, ''), 1, NEW.size_bytes) ON CONFLICT (kind, context, owner_id) DO UPDATE SET images = images + 1, bytes = bytes + excluded.bytes; END;
CREATE TRIGGER stillstore_holdings_again_out AFTER UPDATE OF status, size_bytes, context, owner_id, generation, source, ordinal, parent_id, collection_id ON stillstore_images WHEN OLD.status = 'stored' BEGIN UPDATE stillstore_holdings SET images = images - 1, bytes = bytes - OLD.size_bytes WHERE kind = CASE WHEN OLD.source IS NOT NULL THEN 'moved' WHEN OLD.generation IS NOT NULL THEN 'generated' WHEN OLD.ordinal IS NOT NULL THEN 'frame' WHEN OLD.parent_id IS NOT NULL THEN 'output' WHEN OLD.collection_id IS NOT NULL THEN 'asset' ELSE 'upload' END AND context = ifnull(OLD.context, '') AND owner_id = ifnull(OLD.owner_id, ''); END;

-- A row for each day (UTC, days since 1970): operations of R2 that no image's row tells of, added in bundles, and what cron saw last.
CREATE TABLE stillstore_usage_days (
  day INTEGER PRIMARY KEY NOT NULL,
  -- Listings, and objects that are no images, such as receipts.
  class_a INTEGER NOT NULL DEFAULT 0,
  class_b INTEGER NOT NULL DEFAULT 0,
  r2_images INTEGER,
  r2_bytes INTEGER,
  d1_images INTEGER,
  d1_bytes INTEGER,
  -- Of all objects put so far, as in stillstore_counters.
  puts INTEGER,
  database_bytes INTEGER
) STRICT;

-- Alerts that ALERT_WEBHOOK_URL is told of, one row for each thing that there can be an alert about: `free-tier/r2-class-a`, `fallback`, `run/{id}`.
CREATE TABLE stillstore_alerts (
  name TEXT PRIMARY KEY NOT NULL,
  is_on INTEGER NOT NULL CHECK (is_on IN (0, 1)),
  -- How often it went on or off: with the name, the id of the message.
  change INTEGER NOT NULL,
  message TEXT NOT NULL,
  changed_at_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  -- When to send the message; NULL when it was sent, or given up.
  due_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_alerts_due ON stillstore_alerts (due_at_ms) WHERE due_at_ms IS NOT NULL;
