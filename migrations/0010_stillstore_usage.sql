-- What users have of the bytes and images that they may have. There is a row of a user's from their first image on that is added while a
-- limit is set; without it nothing is counted. Triggers count, so that every way in which an image comes and goes is counted, also one that
-- a Worker of the version before takes.

CREATE TABLE stillstore_usage (
  owner_id TEXT PRIMARY KEY NOT NULL,
  -- Of the user's stored images, and claimed for those that are being added.
  bytes INTEGER NOT NULL,
  -- Days since 1970 in UTC; the two columns below count what was added on that day.
  day INTEGER NOT NULL,
  images INTEGER NOT NULL,
  generations INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What an image that is being added takes of its owner's limits. Gone when the image is stored, and counts by itself, or given up.
CREATE TABLE stillstore_usage_claims (
  image_id TEXT PRIMARY KEY NOT NULL,
  owner_id TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  generations INTEGER NOT NULL CHECK (generations IN (0, 1)),
  day INTEGER NOT NULL,
  claimed_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_usage_claims_by_age ON stillstore_usage_claims (claimed_at_ms);

CREATE TRIGGER stillstore_usage_claimed AFTER INSERT ON stillstore_usage_claims BEGIN UPDATE stillstore_usage SET bytes = bytes + NEW.bytes, images = iif(NEW.day > day, 0, images) + 1, generations = iif(NEW.day > day, 0, generations) + NEW.generations, day = max(day, NEW.day) WHERE owner_id = NEW.owner_id; END;
CREATE TRIGGER stillstore_usage_reclaimed AFTER UPDATE OF bytes ON stillstore_usage_claims BEGIN UPDATE stillstore_usage SET bytes = bytes + NEW.bytes - OLD.bytes WHERE owner_id = NEW.owner_id; END;
-- The day's counts stay when the image was stored.
CREATE TRIGGER stillstore_usage_unclaimed AFTER DELETE ON stillstore_usage_claims BEGIN UPDATE stillstore_usage SET bytes = bytes - OLD.bytes, images = images - iif(day = OLD.day AND NOT EXISTS (SELECT 1 FROM stillstore_images WHERE id = OLD.image_id AND status = 'stored'), 1, 0), generations = generations - iif(day = OLD.day AND NOT EXISTS (SELECT 1 FROM stillstore_images WHERE id = OLD.image_id AND status = 'stored'), OLD.generations, 0) WHERE owner_id = OLD.owner_id; END;

CREATE TRIGGER stillstore_images_used_at_once AFTER INSERT ON stillstore_images WHEN NEW.owner_id IS NOT NULL AND NEW.status = 'stored' BEGIN UPDATE stillstore_usage SET bytes = bytes + NEW.size_bytes WHERE owner_id = NEW.owner_id; END;
CREATE TRIGGER stillstore_images_used AFTER UPDATE OF status ON stillstore_images WHEN OLD.owner_id IS NOT NULL AND OLD.status <> 'stored' AND NEW.status = 'stored' BEGIN UPDATE stillstore_usage SET bytes = bytes + NEW.size_bytes WHERE owner_id = OLD.owner_id; END;
CREATE TRIGGER stillstore_images_unused AFTER UPDATE OF status ON stillstore_images WHEN OLD.owner_id IS NOT NULL AND OLD.status = 'stored' AND NEW.status <> 'stored' BEGIN UPDATE stillstore_usage SET bytes = bytes - OLD.size_bytes WHERE owner_id = OLD.owner_id; END;
CREATE TRIGGER stillstore_images_unused_at_once AFTER DELETE ON stillstore_images WHEN OLD.owner_id IS NOT NULL AND OLD.status = 'stored' BEGIN UPDATE stillstore_usage SET bytes = bytes - OLD.size_bytes WHERE owner_id = OLD.owner_id; END;
CREATE TRIGGER stillstore_images_claim_over_at_once AFTER INSERT ON stillstore_images WHEN NEW.owner_id IS NOT NULL AND NEW.status = 'stored' BEGIN DELETE FROM stillstore_usage_claims WHERE image_id = NEW.id; END;
CREATE TRIGGER stillstore_images_claim_over AFTER UPDATE OF status ON stillstore_images WHEN OLD.owner_id IS NOT NULL AND OLD.status = 'pending' AND NEW.status <> 'pending' BEGIN DELETE FROM stillstore_usage_claims WHERE image_id = OLD.id; END;
CREATE TRIGGER stillstore_images_claim_given_up AFTER DELETE ON stillstore_images WHEN OLD.owner_id IS NOT NULL AND OLD.status = 'pending' BEGIN DELETE FROM stillstore_usage_claims WHERE image_id = OLD.id; END;
