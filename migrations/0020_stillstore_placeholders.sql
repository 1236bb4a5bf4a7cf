-- What a page shows while an image is on its way: measured when pixels were decoded for another reason, and NULL until then.
-- A Worker of the version before writes rows without it.

-- evanw's ThumbHash, 5 to 25 bytes in base64.
ALTER TABLE stillstore_images ADD COLUMN thumbhash TEXT CHECK (length(thumbhash) BETWEEN 8 AND 36);
-- #rrggbb; NULL where nothing is visible.
ALTER TABLE stillstore_images ADD COLUMN dominant_color TEXT CHECK (length(dominant_color) = 7) CHECK (dominant_color IS NULL OR thumbhash IS NOT NULL);

-- It shows what the image showed: it goes with it, also where a Worker of the version before deletes the image.
CREATE TRIGGER stillstore_images_placeholder_erased AFTER UPDATE OF status, thumbhash, dominant_color ON stillstore_images WHEN NEW.status = 'deleted' AND NEW.thumbhash IS NOT NULL BEGIN UPDATE stillstore_images SET thumbhash = NULL, dominant_color = NULL WHERE id = NEW.id; END;
