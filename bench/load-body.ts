import { readFileSync } from "node:fs";
import { join } from "node:path";

const PIXEL = readFileSync(join(import.meta.dirname, "../tests/fixtures/images/pixel.png"));

/** What a request whose body has so many bytes sends: it begins like a PNG. */
export function uploadedBytes(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes, "stillstore");
  PIXEL.copy(bytes);
  return bytes;
}
