-- What was moved out of a table is a row of the catalogue too. The journal says whether the row is there yet.

-- absent: not yet, and the journal serves the image meanwhile; entering: being made in another database than this; present: made.
ALTER TABLE stillstore_moves ADD COLUMN catalogue TEXT NOT NULL DEFAULT 'absent' CHECK (catalogue = 'absent' OR catalogue = 'entering' OR catalogue = 'present');
-- What the catalogue's row says beside the columns here; NULL in entries of before.
ALTER TABLE stillstore_moves ADD COLUMN image TEXT CHECK (json_valid(image));

CREATE INDEX stillstore_moves_uncatalogued ON stillstore_moves (image_id)
  WHERE source <> 'embedded' AND stage <> 'restored' AND catalogue <> 'present';

-- Images that were moved out of tables are counted apart: the others say how many images of our own there are.
INSERT INTO stillstore_counters (status, storage, fallback, images, bytes) VALUES ('moved', 'r2', 0, 0, 0);

DROP TRIGGER stillstore_images_counted_in;
DROP TRIGGER stillstore_images_counted_out;
DROP TRIGGER stillstore_images_recounted_in;
DROP TRIGGER stillstore_images_recounted_out;

CREATE TRIGGER stillstore_images_counted_in AFTER INSERT ON stillstore_images WHEN NEW.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + NEW.size_bytes WHERE status = iif(NEW.source IS NULL, 'stored', 'moved') AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_counted_out AFTER DELETE ON stillstore_images WHEN OLD.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images - 1, bytes = bytes - OLD.size_bytes WHERE status = iif(OLD.source IS NULL, 'stored', 'moved') AND storage = OLD.storage AND fallback = (OLD.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_in AFTER UPDATE OF status, size_bytes, fallback_reason, source ON stillstore_images WHEN NEW.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + NEW.size_bytes WHERE status = iif(NEW.source IS NULL, 'stored', 'moved') AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_out AFTER UPDATE OF status, size_bytes, fallback_reason, source ON stillstore_images WHEN OLD.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images - 1, bytes = bytes - OLD.size_bytes WHERE status = iif(OLD.source IS NULL, 'stored', 'moved') AND storage = OLD.storage AND fallback = (OLD.fallback_reason IS NOT NULL); END;
