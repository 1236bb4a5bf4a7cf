-- Of an image that its owner deleted: the digest of its id and the owner's, by which they are told what the operator is when they ask again.
ALTER TABLE stillstore_images ADD COLUMN deleted_by TEXT;
