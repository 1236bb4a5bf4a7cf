-- Images kept in the database itself, for deployments without a bucket and for hours when the bucket is away.

-- One row a write. A write without stored_at_ms is still arriving: invisible, without size and digest.
CREATE TABLE stillstore_blobs (
    write_id TEXT NOT NULL PRIMARY KEY,
    object_key TEXT NOT NULL,
    content_type TEXT NOT NULL,
    metadata_json TEXT NOT NULL,
    -- When the write began, or was last repeated with the same bytes.
    created_at_ms INTEGER NOT NULL,
    stored_at_ms INTEGER,
    size_bytes INTEGER,
    sha256 TEXT,
    -- The image whose row names this object, NULL until that row is committed.
    owner_id TEXT,
    CHECK (stored_at_ms IS NULL OR (size_bytes IS NOT NULL AND sha256 IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX stillstore_blobs_by_key ON stillstore_blobs (object_key) WHERE stored_at_ms IS NOT NULL;

-- What the sweep looks through: writes that never finished, and objects that no image names.
CREATE INDEX stillstore_blobs_unowned ON stillstore_blobs (created_at_ms) WHERE owner_id IS NULL;

-- Chunk n holds the bytes from n MiB on, as base64 text. A rowid table, because looking up a row of a table WITHOUT ROWID reads
-- the whole of each row that it passes.
CREATE TABLE stillstore_chunks (
    write_id TEXT NOT NULL REFERENCES stillstore_blobs (write_id) ON DELETE CASCADE,
    chunk_index INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (write_id, chunk_index)
) STRICT;
