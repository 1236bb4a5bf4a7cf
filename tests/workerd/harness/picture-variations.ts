// Real images in any number: each a whole file of its format, with bytes of its own where the format has room for a remark.
import { readFileSync, readdirSync } from "node:fs";
import { extname, join } from "node:path";
import { crc32 } from "node:zlib";

import { randomNumbers } from "../random.ts";
import { projectDir } from "./project.ts";

const FIXTURES = join(projectDir, "tests/fixtures/images");
/** A JPEG segment holds 65,533 bytes. */
const SEGMENT_BYTES = 60_000;

/** Letters, which every format takes in a remark. A prime number of them, so that no two chunks of an image are the same. */
const FILLER_BYTES = 65_521;
const random = randomNumbers(1);
const FILLER = Buffer.from(Array.from({ length: FILLER_BYTES }, () => 97 + Math.floor(random() * 26)));

export type Picture = { name: string; contentType: string; bytes: Buffer };

const CONTENT_TYPES: Record<string, string> = {
  ".jpg": "image/jpeg",
  ".png": "image/png",
  ".gif": "image/gif",
  ".webp": "image/webp",
  ".svg": "image/svg+xml",
  ".avif": "image/avif",
  ".heic": "image/heic",
};

const FILES = readdirSync(FIXTURES)
  .filter((name) => extname(name) in CONTENT_TYPES)
  .sort()
  .map((name) => ({ name, bytes: readFileSync(join(FIXTURES, name)) }));

/** The picture number `index`, about `remarkBytes` longer than its fixture in formats that take a remark. */
export function picture(index: number, remarkBytes = 0): Picture {
  const { name, bytes } = FILES[index % FILES.length] ?? { name: "", bytes: Buffer.alloc(0) };
  const title = Buffer.from(`picture ${index} `);
  const remark = Buffer.concat([title, Buffer.alloc(Math.max(remarkBytes - title.length, 0), FILLER)]);
  const extension = extname(name);
  const contentType = CONTENT_TYPES[extension] ?? "";
  return { name: `${index}-${name}`, contentType, bytes: (REMARKS[extension] ?? ((same) => same))(bytes, remark) };
}

const REMARKS: Record<string, (bytes: Buffer, remark: Buffer) => Buffer> = {
  ".png": (bytes, remark) => {
    const data = Buffer.concat([Buffer.from("tEXtComment\0"), remark]);
    const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length - 4);
    checksum.writeUInt32BE(crc32(data));
    const afterHeader = 8 + 25;
    return Buffer.concat([bytes.subarray(0, afterHeader), length, data, checksum, bytes.subarray(afterHeader)]);
  },
  ".jpg": (bytes, remark) => {
    const segments = [];
    for (let at = 0; at < remark.length; at += SEGMENT_BYTES) {
      const part = remark.subarray(at, at + SEGMENT_BYTES);
      const head = Buffer.from([0xff, 0xfe, 0, 0]);
      head.writeUInt16BE(part.length + 2, 2);
      segments.push(head, part);
    }
    return Buffer.concat([bytes.subarray(0, 2), ...segments, bytes.subarray(2)]);
  },
  ".gif": (bytes, remark) => {
    const part = remark.subarray(0, 255);
    const comment = Buffer.concat([Buffer.from([0x21, 0xfe, part.length]), part, Buffer.from([0])]);
    return Buffer.concat([bytes.subarray(0, -1), comment, bytes.subarray(-1)]);
  },
  ".svg": (bytes, remark) => Buffer.concat([bytes, Buffer.from(`<!-- ${remark} -->`)]),
};
