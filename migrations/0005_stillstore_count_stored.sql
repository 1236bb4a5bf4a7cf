-- Only stored images are counted, the others being asked for by nobody: storing an image writes two rows less, and deleting one three.
-- The rows of the other states stay, at zero, since a Worker that is deployed before this one asks for them.
DROP TRIGGER stillstore_images_counted_in;
DROP TRIGGER stillstore_images_counted_out;
DROP TRIGGER stillstore_images_recounted_in;
DROP TRIGGER stillstore_images_recounted_out;

UPDATE stillstore_counters SET images = 0, bytes = 0 WHERE status <> 'stored';

CREATE TRIGGER stillstore_images_counted_in AFTER INSERT ON stillstore_images WHEN NEW.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + NEW.size_bytes WHERE status = 'stored' AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_counted_out AFTER DELETE ON stillstore_images WHEN OLD.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images - 1, bytes = bytes - OLD.size_bytes WHERE status = 'stored' AND storage = OLD.storage AND fallback = (OLD.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_in AFTER UPDATE OF status, size_bytes, fallback_reason ON stillstore_images WHEN NEW.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images + 1, bytes = bytes + NEW.size_bytes WHERE status = 'stored' AND storage = NEW.storage AND fallback = (NEW.fallback_reason IS NOT NULL); END;
CREATE TRIGGER stillstore_images_recounted_out AFTER UPDATE OF status, size_bytes, fallback_reason ON stillstore_images WHEN OLD.status = 'stored' BEGIN UPDATE stillstore_counters SET images = images - 1, bytes = bytes - OLD.size_bytes WHERE status = 'stored' AND storage = OLD.storage AND fallback = (OLD.fallback_reason IS NOT NULL); END;
