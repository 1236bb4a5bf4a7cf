// Where the browser finds an image's bytes at this Worker, whatever the public address of the images is.
import { pathOf } from "./api/client.ts";
import type { Image } from "./api/types.ts";

/** A private image's record carries a signed URL, which is good for an hour. */
export function bytesPath(image: Pick<Image, "id" | "url" | "visibility">): string {
  if (image.visibility === "public") return pathOf("serve-image", { path: { id: image.id } });
  const { search } = new URL(image.url, location.href);
  return pathOf("serve-image", { path: { id: image.id } }) + search;
}

/** Of `VARIANT_WIDTHS`; the caller is told which one. */
let thumbnailWidth: number | undefined;

export function setThumbnailWidth(width: number | undefined): void {
  thumbnailWidth = width;
}

/** A small variant; where none can be made, the Worker gives the image itself. */
export function thumbnailPath(image: Pick<Image, "id" | "url" | "visibility">): string {
  if (thumbnailWidth === undefined) return bytesPath(image);
  const path = bytesPath(image);
  return `${path}${path.includes("?") ? "&" : "?"}w=${thumbnailWidth}&fm=auto&fallback=original`;
}

/** What people call it: the file's name, else the prompt, else the id. */
export function nameOf(image: Pick<Image, "id" | "filename" | "generation">): string {
  return image.filename ?? image.generation?.prompt ?? image.id;
}

/** The name of a download. */
export function fileNameOf(image: Pick<Image, "id" | "filename" | "key">): string {
  return image.filename ?? image.key.slice(image.key.lastIndexOf("/") + 1);
}
