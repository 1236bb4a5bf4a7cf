-- Uploads that a client was granted. An object under the key may be there that no row of stillstore_images names, until the upload is
-- confirmed, and again when the image is deleted while the grant still counts.

CREATE TABLE stillstore_uploads (
  -- The id of the image that it becomes.
  asset_id TEXT PRIMARY KEY NOT NULL,
  -- granted: bytes may arrive; confirmed: they are an image; closed: they are none, and are removed.
  state TEXT NOT NULL CHECK (state = 'granted' OR state = 'confirmed' OR state = 'closed'),
  -- Why it is closed.
  close_reason TEXT CHECK ((state = 'closed') = (close_reason IS NOT NULL)),
  shoot_id TEXT NOT NULL,
  owner_id TEXT,
  storage_key TEXT NOT NULL UNIQUE,
  content_type TEXT NOT NULL,
  filename TEXT NOT NULL,
  -- What the client promised.
  size_bytes INTEGER CHECK (size_bytes > 0),
  sha256 TEXT CHECK (length(sha256) = 64),
  limit_bytes INTEGER NOT NULL CHECK (limit_bytes > 0),
  -- The home that the Worker put the bytes into, and why it is not the first choice; NULL where it put none.
  storage TEXT CHECK (storage = 'r2' OR storage = 'd1'),
  fallback_reason TEXT,
  created_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  -- When the sweep looks at it next.
  due_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_uploads_due ON stillstore_uploads (due_at_ms);
