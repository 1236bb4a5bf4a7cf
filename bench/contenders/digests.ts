// Storing with digests: taken here, and R2 held to them.

/** As Stillstore's: what is longer is hashed while it passes. */
const HELD_BYTES = 25 << 20;
const RUN_BYTES = 256 << 10;

/** An upload, held where it is short enough for its digest to be known before the put. */
export async function bodyOf(request: Request, sizeBytes: number): Promise<Uint8Array | ReadableStream> {
  return sizeBytes <= HELD_BYTES ? new Uint8Array(await request.arrayBuffer()) : request.body!;
}

/** Answers with the SHA-256 in hexadecimal. `options` are those of the put, besides the digest. */
export async function putHashed(
  bucket: R2Bucket,
  key: string,
  body: Uint8Array | ReadableStream,
  sizeBytes: number,
  options: R2PutOptions,
): Promise<string> {
  return body instanceof Uint8Array ? putBytes(bucket, key, body, options) : putStream(bucket, key, body, sizeBytes, options);
}

async function putBytes(bucket: R2Bucket, key: string, bytes: Uint8Array, options: R2PutOptions): Promise<string> {
  const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  await bucket.put(key, bytes, { ...options, sha256, customMetadata: { sha256 } });
  return sha256;
}

async function putStream(
  bucket: R2Bucket,
  key: string,
  body: ReadableStream<Uint8Array>,
  sizeBytes: number,
  options: R2PutOptions,
): Promise<string> {
  const digests = [new crypto.DigestStream("SHA-256"), new crypto.DigestStream("MD5")] as const;
  const fixed = new FixedLengthStream(sizeBytes);
  const put = bucket.put(key, fixed.readable, options);
  const writers = [...digests, fixed.writable].map((stream) => stream.getWriter());
  const reader = body.getReader({ mode: "byob" });
  for (;;) {
    const { value: run } = await reader.readAtLeast(RUN_BYTES, new Uint8Array(RUN_BYTES));
    if (run === undefined || run.length === 0) break;
    await Promise.all(writers.map((writer) => writer.write(run)));
  }
  await Promise.all(writers.map((writer) => writer.close()));
  const [object, sha256, md5] = await Promise.all([put, ...digests.map(({ digest }) => digest)]);
  if (hex(object!.checksums.md5!) !== hex(md5!)) throw new Error("R2 holds other bytes");
  return hex(sha256!);
}

function hex(bytes: ArrayBuffer): string {
  return new Uint8Array(bytes).toHex();
}
