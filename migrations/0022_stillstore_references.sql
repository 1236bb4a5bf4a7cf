-- Texts of an application that held URLs of another bucket's objects and hold those of the copies now.
-- In the catalogue's database, beside the journals of buckets.

-- One row for each URL that was replaced, so that a rollback can put it back.
CREATE TABLE stillstore_references (
  source TEXT NOT NULL,
  -- The table and the column, each in quotes.
  place TEXT NOT NULL,
  row_id TEXT NOT NULL,
  -- Where the new URL is in the text that was written, in bytes.
  at INTEGER NOT NULL,
  -- The object that the URL names.
  item_id TEXT NOT NULL,
  old_url TEXT NOT NULL,
  new_url TEXT NOT NULL,
  -- Of the text that was written: the places are those of no other.
  text_sha256 TEXT NOT NULL,
  run_id TEXT NOT NULL,
  PRIMARY KEY (source, place, row_id, at)
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_references_by_item ON stillstore_references (source, item_id);
