-- Whose an image is, where it stands in a collection, what it was made from and moved from, how it is turned, and where its bytes may be.
-- Columns are added and rows stay where they are: a Worker of the version before goes on writing rows, without these columns.

ALTER TABLE stillstore_images ADD COLUMN owner_id TEXT;
ALTER TABLE stillstore_images ADD COLUMN collection_id TEXT;
ALTER TABLE stillstore_images ADD COLUMN ordinal INTEGER
  CHECK (ordinal >= 0) CHECK ((collection_id IS NULL) = (ordinal IS NULL));
ALTER TABLE stillstore_images ADD COLUMN parent_id TEXT;
-- The name of the migration source that the image was moved from, and that source's id of it.
ALTER TABLE stillstore_images ADD COLUMN source TEXT;
ALTER TABLE stillstore_images ADD COLUMN source_item TEXT
  CHECK ((source IS NULL) = (source_item IS NULL));
-- As EXIF numbers it; width and height are those of the turned image.
ALTER TABLE stillstore_images ADD COLUMN orientation INTEGER CHECK (orientation BETWEEN 1 AND 8);
-- 1 where bytes may be in R2 and in the database, 0 where they are only in `storage`. NULL where that is not known: the image is not
-- stored yet, or a Worker that does not know this column stored it. Such a row is judged by its version and its fallback.
ALTER TABLE stillstore_images ADD COLUMN two_homes INTEGER CHECK (two_homes IN (0, 1));

UPDATE stillstore_images SET two_homes =
  fallback_reason IS NOT NULL OR CASE storage WHEN 'r2' THEN embedded_write_id IS NOT NULL ELSE version > 1 END
WHERE status = 'stored';

CREATE INDEX stillstore_images_by_owner ON stillstore_images (owner_id, created_at_ms, id)
  WHERE status = 'stored' AND owner_id IS NOT NULL;
CREATE INDEX stillstore_images_by_collection ON stillstore_images (collection_id, ordinal, id)
  WHERE status = 'stored' AND collection_id IS NOT NULL;
CREATE UNIQUE INDEX stillstore_images_by_source ON stillstore_images (source, source_item)
  WHERE source IS NOT NULL;

-- A tombstone holds nothing that a person wrote. A trigger and no CHECK, which would refuse the deletions of a Worker of the version before.
CREATE TRIGGER stillstore_images_erased AFTER UPDATE OF status, owner_id, collection_id, ordinal, parent_id, source, source_item ON stillstore_images WHEN NEW.status = 'deleted' AND coalesce(NEW.owner_id, NEW.collection_id, NEW.parent_id, NEW.source) IS NOT NULL BEGIN UPDATE stillstore_images SET owner_id = NULL, collection_id = NULL, ordinal = NULL, parent_id = NULL, source = NULL, source_item = NULL WHERE id = NEW.id; END;
-- A Worker of the version before moves an image and does not say that it may be in two homes.
CREATE TRIGGER stillstore_images_moved AFTER UPDATE OF storage ON stillstore_images WHEN NEW.storage <> OLD.storage AND NEW.two_homes = 0 BEGIN UPDATE stillstore_images SET two_homes = 1 WHERE id = NEW.id; END;
