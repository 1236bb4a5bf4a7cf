-- Collections of images: shoots, whose members are assets, and sessions, whose members are frames.

CREATE TABLE stillstore_collections (
  -- One space of ids for all kinds, since an image names its collection by the id alone.
  id TEXT PRIMARY KEY NOT NULL,
  kind TEXT NOT NULL CHECK (kind = 'shoot' OR kind = 'session'),
  -- open: takes members; emptying: its members go, it stays; deleting: its members go, and then it goes.
  state TEXT NOT NULL CHECK (state = 'open' OR state = 'emptying' OR state = 'deleting'),
  owner_id TEXT,
  name TEXT,
  created_at_ms INTEGER NOT NULL,
  -- When it last took a member, or when its members were told to go.
  updated_at_ms INTEGER NOT NULL,
  -- Members that are to go since `updated_at_ms`, while it is not open.
  leaving INTEGER NOT NULL DEFAULT 0,
  lease_token TEXT,
  lease_expires_at_ms INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_collections_by_kind ON stillstore_collections (kind, created_at_ms, id)
  WHERE state <> 'deleting';
CREATE INDEX stillstore_collections_by_owner ON stillstore_collections (kind, owner_id, created_at_ms, id)
  WHERE state <> 'deleting' AND owner_id IS NOT NULL;
CREATE INDEX stillstore_collections_leaving ON stillstore_collections (updated_at_ms) WHERE state <> 'open';
CREATE INDEX stillstore_collections_aging ON stillstore_collections (updated_at_ms)
  WHERE kind = 'session' AND state = 'open';

-- An upsert that is to change a collection offers one with an empty name, which is refused when there is none to change.
CREATE TRIGGER stillstore_collections_found AFTER INSERT ON stillstore_collections WHEN NEW.name = '' BEGIN SELECT RAISE(ABORT, 'constraint failed: stillstore_collections has no such row'); END;

-- Requests that put frames: objects under the session's prefix that no row of the catalogue names may be theirs.
CREATE TABLE stillstore_frame_uploads (
  token TEXT PRIMARY KEY NOT NULL,
  session_id TEXT NOT NULL,
  -- under-way: may commit frames; broken: ended before its form did; lost: may not commit frames any more.
  state TEXT NOT NULL CHECK (state = 'under-way' OR state = 'broken' OR state = 'lost'),
  began_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_frame_uploads_by_session ON stillstore_frame_uploads (session_id, began_at_ms);
CREATE INDEX stillstore_frame_uploads_by_age ON stillstore_frame_uploads (began_at_ms);

-- A frame that is put again has the key of before. A request that put it before its bytes are removed must not commit it after that.
CREATE TRIGGER stillstore_images_leaving_session AFTER UPDATE OF status ON stillstore_images WHEN NEW.status = 'deleting' AND NEW.collection_id IS NOT NULL BEGIN UPDATE stillstore_frame_uploads SET state = 'lost' WHERE session_id = NEW.collection_id AND state <> 'lost'; END;

-- What was made from an image.
CREATE INDEX stillstore_images_by_parent ON stillstore_images (parent_id, created_at_ms, id)
  WHERE status = 'stored' AND parent_id IS NOT NULL;
-- Members of a collection that are to go.
CREATE INDEX stillstore_images_leaving ON stillstore_images (collection_id, id)
  WHERE status = 'deleting' AND collection_id IS NOT NULL;
