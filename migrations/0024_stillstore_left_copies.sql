-- Copies of objects of another bucket that nothing names any more, because the object has changed and the copy was no image, or was rolled
-- back and left: no other state of the object may get the key. In the catalogue's database, beside the journals of buckets.
CREATE TABLE stillstore_left_copies (
  storage_key TEXT PRIMARY KEY NOT NULL,
  image_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
