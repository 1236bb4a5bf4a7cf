-- A copy that its item has left, because the item became another image, is no image of the source any more: its deletion is kept for good as well, by the form of its id.

DROP TRIGGER stillstore_images_deleted_moves;

CREATE TRIGGER stillstore_images_deleted_moves AFTER UPDATE OF status ON stillstore_images WHEN OLD.status = 'stored' AND NEW.status <> 'stored' AND (OLD.source IS NOT NULL OR substr(OLD.id, 15, 1) = '8') BEGIN INSERT OR IGNORE INTO stillstore_deleted_moves (image_id) VALUES (NEW.id); END;
