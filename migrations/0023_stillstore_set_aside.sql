-- Objects of another bucket that are no images, where only images are copied: a run has read them, and later runs leave them.
-- In the catalogue's database, beside the journals of buckets.
CREATE TABLE stillstore_set_aside (
  source TEXT NOT NULL,
  item_id TEXT NOT NULL,
  -- The state that was read; another one is read again.
  etag TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  modified TEXT NOT NULL,
  PRIMARY KEY (source, item_id)
) STRICT, WITHOUT ROWID;
