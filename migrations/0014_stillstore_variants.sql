-- Other sizes and formats of images. One row for each that was asked for: it names the bytes before they are written, and until they are gone.
-- Rows of their own, and not images: docs/adr/0015 says why.

CREATE TABLE stillstore_variants (
  image_id TEXT NOT NULL,
  -- What was asked for, in its one spelling.
  form TEXT NOT NULL,
  -- making: whoever has the lease makes it; stored: readable; refused: the image cannot become that; leaving: its bytes go.
  state TEXT NOT NULL CHECK (state = 'making' OR state = 'stored' OR state = 'refused' OR state = 'leaving'),
  -- Where its bytes are, or may be: where those of the image were when it was begun.
  storage TEXT NOT NULL CHECK (storage = 'r2' OR storage = 'd1'),
  storage_key TEXT NOT NULL,
  -- The image's, whose bytes these count as.
  owner_id TEXT,
  content_type TEXT,
  size_bytes INTEGER CHECK (size_bytes > 0),
  sha256 TEXT CHECK (length(sha256) = 64),
  is_of_animation INTEGER NOT NULL DEFAULT 0 CHECK (is_of_animation IN (0, 1)),
  -- Why it is refused.
  refusal TEXT CHECK ((state = 'refused') <= (refusal IS NOT NULL)),
  lease_token TEXT,
  lease_expires_at_ms INTEGER NOT NULL DEFAULT 0,
  created_at_ms INTEGER NOT NULL,
  -- When the sweep removes it: not while it is stored, and not while a put may be under way.
  due_at_ms INTEGER CHECK ((state = 'stored') = (due_at_ms IS NULL)),
  PRIMARY KEY (image_id, form),
  CHECK (state <> 'stored' OR (content_type IS NOT NULL AND size_bytes IS NOT NULL AND sha256 IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_variants_due ON stillstore_variants (due_at_ms) WHERE due_at_ms IS NOT NULL;
CREATE INDEX stillstore_variants_by_owner ON stillstore_variants (owner_id) WHERE owner_id IS NOT NULL;

-- Variants go with their image, also where a Worker of the version before removes it; and are made anew where it moves to.
CREATE TRIGGER stillstore_variants_leave AFTER UPDATE OF status ON stillstore_images WHEN OLD.status = 'stored' AND NEW.status <> 'stored' BEGIN UPDATE stillstore_variants SET state = 'leaving', lease_token = NULL, due_at_ms = iif(state = 'making', due_at_ms, NEW.updated_at_ms) WHERE image_id = NEW.id AND state <> 'leaving'; END;
CREATE TRIGGER stillstore_variants_leave_at_once AFTER DELETE ON stillstore_images WHEN OLD.status = 'stored' BEGIN UPDATE stillstore_variants SET state = 'leaving', lease_token = NULL, due_at_ms = iif(state = 'making', due_at_ms, OLD.updated_at_ms) WHERE image_id = OLD.id AND state <> 'leaving'; END;
CREATE TRIGGER stillstore_variants_move AFTER UPDATE OF storage ON stillstore_images WHEN NEW.storage <> OLD.storage AND NEW.status = 'stored' BEGIN UPDATE stillstore_variants SET state = 'leaving', lease_token = NULL, due_at_ms = iif(state = 'making', due_at_ms, NEW.updated_at_ms) WHERE image_id = NEW.id AND state <> 'leaving'; END;

-- Their bytes are their image's owner's, where a limit is set.
CREATE TRIGGER stillstore_variants_used AFTER UPDATE OF state ON stillstore_variants WHEN NEW.owner_id IS NOT NULL AND OLD.state <> 'stored' AND NEW.state = 'stored' BEGIN UPDATE stillstore_usage SET bytes = bytes + NEW.size_bytes WHERE owner_id = NEW.owner_id; END;
CREATE TRIGGER stillstore_variants_unused AFTER UPDATE OF state ON stillstore_variants WHEN NEW.owner_id IS NOT NULL AND OLD.state = 'stored' AND NEW.state <> 'stored' BEGIN UPDATE stillstore_usage SET bytes = bytes - NEW.size_bytes WHERE owner_id = NEW.owner_id; END;
