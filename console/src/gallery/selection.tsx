import { useState } from "preact/hooks";

import type { Image } from "../api/types.ts";
import { bytes, counted } from "../format.ts";
import { bytesPath, fileNameOf } from "../image-url.ts";
import { CopyButton } from "../parts/copy.tsx";
import { DeletionDialog } from "./deletion.tsx";

export function SelectionBar({ images, onClear }: { images: Image[]; onClear: () => void }) {
  const [isDeleting, setIsDeleting] = useState(false);
  const size = images.reduce((sum, image) => sum + (image.size ?? 0), 0);
  return (
    <div class="bar" role="region" aria-label="Selected images">
      <span role="status">
        {counted(images.length, "image")} selected, {bytes(size)}
      </span>
      <CopyButton text={images.map(({ url }) => url).join("\n")}>Copy URLs</CopyButton>
      <button type="button" onClick={() => download(images)}>
        Download
      </button>
      <button type="button" class="danger" onClick={() => setIsDeleting(true)}>
        Delete
      </button>
      <button type="button" class="quiet" onClick={onClear}>
        Clear
      </button>
      {isDeleting && (
        <DeletionDialog
          images={images}
          onClose={(deleted) => {
            setIsDeleting(false);
            if (deleted.length > 0) onClear();
          }}
        />
      )}
    </div>
  );
}

/** The browser asks once whether a page may save several files. */
function download(images: Image[]): void {
  for (const image of images) {
    const link = document.createElement("a");
    link.href = bytesPath(image);
    link.download = fileNameOf(image);
    link.click();
  }
}
