// Where the browser finds an image's bytes at this Worker, whatever the public address of the images is.
import { pathOf } from "./api/client.ts";
import type { Image } from "./api/types.ts";

/** A private image's record carries a signed URL, which is good for an hour. */
export function bytesPath(image: Pick<Image, "id" | "url" | "visibility">): string {
  if (image.visibility === "public") return pathOf("serve-image", { path: { id: image.id } });
  const { search } = new URL(image.url, location.href);
  return pathOf("serve-image", { path: { id: image.id } }) + search;
}

/** What people call it: the file's name, else the prompt, else the id. */
export function nameOf(image: Pick<Image, "id" | "filename" | "generation">): string {
  return image.filename ?? image.generation?.prompt ?? image.id;
}

/** The name of a download. */
export function fileNameOf(image: Pick<Image, "id" | "filename" | "key">): string {
  return image.filename ?? image.key.slice(image.key.lastIndexOf("/") + 1);
}
