import { useState } from "preact/hooks";

import type { Image } from "../api/types.ts";
import { bytesPath } from "../image-url.ts";

/** The image itself, as large as there is room for. */
export function Preview({ image }: { image: Image }) {
  const [hasFailed, setHasFailed] = useState(false);
  if (hasFailed) {
    return <p class="note">This browser cannot show the image: {image.content_type}, or the bytes could not be read. Download it to look.</p>;
  }
  return (
    <img
      class="preview"
      src={bytesPath(image)}
      alt={image.generation?.prompt ?? image.filename ?? "The stored image"}
      onError={() => setHasFailed(true)}
      {...(image.width === null || image.height === null ? {} : { width: image.width, height: image.height })}
    />
  );
}
