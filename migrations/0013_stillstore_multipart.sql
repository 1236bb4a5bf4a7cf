-- Uploads that are sent in parts: what R2 calls them, and the parts that came by way of the Worker. Each has a row of stillstore_uploads,
-- and goes with it.

CREATE TABLE stillstore_multipart_uploads (
  asset_id TEXT PRIMARY KEY NOT NULL,
  upload_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE stillstore_upload_parts (
  asset_id TEXT NOT NULL,
  part_number INTEGER NOT NULL CHECK (part_number > 0),
  etag TEXT NOT NULL,
  size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
  PRIMARY KEY (asset_id, part_number)
) STRICT, WITHOUT ROWID;

-- Triggers, so that a Worker of the version before forgets them too.
CREATE TRIGGER stillstore_uploads_forgotten AFTER DELETE ON stillstore_uploads BEGIN DELETE FROM stillstore_multipart_uploads WHERE asset_id = OLD.asset_id; END;
CREATE TRIGGER stillstore_multipart_uploads_forgotten AFTER DELETE ON stillstore_multipart_uploads BEGIN DELETE FROM stillstore_upload_parts WHERE asset_id = OLD.asset_id; END;

-- A grant holds a claim of its owner's, until it is closed; one that is confirmed gives it to the image.
CREATE TRIGGER stillstore_uploads_claim_over AFTER UPDATE OF state ON stillstore_uploads WHEN NEW.state = 'closed' BEGIN DELETE FROM stillstore_usage_claims WHERE image_id = NEW.asset_id; END;
