// Byte streams: read in runs of an exact length, made from a pull function, given a known length.

/**
 * Where bytes come from, in runs; what both ends of this module speak.
 * @typedef {object} Source
 * @property {(maxBytes: number) => Promise<Uint8Array | null>} next the next run, at most `maxBytes` long; `null` at the end
 * @property {(reason?: unknown) => void} cancel nobody will ask again
 */

/** What a first read asks for. A later one asks for three times what has come, so memory follows what arrives. */
const FIRST_READ_BYTES = 1 << 20;

/** The longest run that gets its place before it has arrived: whoever holds one this long has asked whether there is room. */
const MAX_PLACE_BYTES = 32 << 20;

/** Length of the runs that are read only to be thrown away. */
const DISCARD_RUN_BYTES = 256 << 10;

/** A client that has sent nothing for this long waits for its answer. */
const STALL_MS = 1_000;

/** How long the connection outlasts an answer to a client that is still sending. */
const LINGER_MS = 30_000;

/** Length of the runs in which a source becomes a stream. */
const STREAM_RUN_BYTES = 256 << 10;

/** @type {Uint8Array} */
const NOTHING = new Uint8Array(0);

/**
 * Reads a stream in runs of an exact length.
 * @implements {Source}
 */
export class ByteReader {
  #stream;
  /** @type {ReadableStreamBYOBReader | ReadableStreamDefaultReader | null} */
  #reader = null;
  #pending = NOTHING;
  #ended = false;

  /** @param {ReadableStream} stream */
  constructor(stream) {
    this.#stream = stream;
  }

  /**
   * The bytes that {@link next} would give, left in place.
   * @param {number} maxBytes
   */
  async peek(maxBytes) {
    if (this.#pending.length < maxBytes) {
      const runs = await this.#collect(maxBytes);
      // A stream that is not one of bytes may have given more than was asked for.
      this.#pending = join(this.#pending.length === 0 ? runs : [...runs, this.#pending]);
    }
    return this.#pending.subarray(0, maxBytes);
  }

  /**
   * The next run: `maxBytes` long unless the end is nearer, `null` at the end.
   * @param {number} maxBytes
   */
  async next(maxBytes) {
    const first = await this.#read(Math.min(maxBytes, FIRST_READ_BYTES));
    if (first.length === 0) return null;
    if (first.length === maxBytes || this.isAtEnd) return first;
    if (maxBytes <= MAX_PLACE_BYTES && this.#pending.length === 0 && this.#reader instanceof ReadableStreamBYOBReader) {
      return this.#completed(first, this.#reader, maxBytes);
    }
    return join([first, ...(await this.#collect(maxBytes - first.length))]);
  }

  /** @param {unknown} [reason] */
  cancel(reason) {
    const cancelled = this.#reader === null ? this.#stream.cancel(reason) : this.#reader.cancel(reason);
    cancelled.catch(() => {});
  }

  /** Whether the stream was given to somebody else, who reads it now. */
  get isHandedOn() {
    return this.#reader === null && this.#stream.locked;
  }

  /** Whether there is nothing more to read. */
  get isAtEnd() {
    return this.#ended && this.#pending.length === 0;
  }

  /** The very stream, while nothing was read of it. */
  get untouched() {
    return this.#reader === null ? this.#stream : null;
  }

  /**
   * The run that starts with `first`. The rest is read to where it belongs: joining runs would take their memory twice.
   * @param {Uint8Array} first
   * @param {ReadableStreamBYOBReader} reader
   * @param {number} maxBytes
   */
  async #completed(first, reader, maxBytes) {
    const whole = new Uint8Array(maxBytes);
    whole.set(first);
    const { value } = await reader.readAtLeast(maxBytes - first.length, whole.subarray(first.length));
    if (value === undefined) {
      this.#ended = true;
      return first;
    }
    const run = new Uint8Array(value.buffer, 0, first.length + value.length);
    this.#ended = run.length < maxBytes;
    // A short run would hold on to all of the buffer.
    return run.length < maxBytes / 2 ? run.slice() : run;
  }

  /** @param {number} wantedBytes */
  async #collect(wantedBytes) {
    const runs = [];
    for (let size = 0; size < wantedBytes; ) {
      const run = await this.#read(Math.min(wantedBytes - size, Math.max(FIRST_READ_BYTES, size * 3)));
      if (run.length === 0) break;
      runs.push(run);
      size += run.length;
    }
    return runs;
  }

  /**
   * At least one byte, at most `maxBytes`, nothing at the end.
   * @param {number} maxBytes
   */
  async #read(maxBytes) {
    if (this.#pending.length === 0 && !this.#ended) {
      this.#pending = await this.#arrive(maxBytes);
      this.#ended ||= this.#pending.length === 0;
    }
    const run = this.#pending.subarray(0, maxBytes);
    this.#pending = this.#pending.subarray(maxBytes);
    return run;
  }

  /** @param {number} maxBytes */
  async #arrive(maxBytes) {
    this.#reader ??= readerOf(this.#stream);
    if (this.#reader instanceof ReadableStreamBYOBReader) {
      const bytes = await fill(this.#reader, maxBytes);
      this.#ended = bytes.length < maxBytes;
      return bytes;
    }
    for (;;) {
      const { value, done } = await this.#reader.read();
      if (done) return NOTHING;
      const bytes = bytesOf(value);
      if (bytes.length > 0) return bytes;
    }
  }
}

/**
 * Reads a request's body. An answer that goes out while the client is still sending reaches it, or a proxy in between, as a broken
 * connection, so that what nobody wants is read too: {@link answer}.
 */
export class RequestReader extends ByteReader {
  #discardedBytes = 0;

  /** @override */
  cancel() {}

  /**
   * The body of the answer, once the request was read to its end and thrown away. When the client waits before it sends more, or after
   * `maxBytes`, the answer goes out all the same, and its end waits for the request's.
   * @param {Uint8Array | ReadableStream | null} body
   * @param {number} maxBytes
   */
  async answer(body, maxBytes) {
    if (this.isAtEnd || this.isHandedOn) return body;
    const ended = this.#discard(maxBytes);
    if ((await Promise.race([ended, this.#stall()])) || !(body instanceof Uint8Array)) return body;
    const { readable, writable } = new FixedLengthStream(body.length);
    const writer = writable.getWriter();
    const write = async () => {
      await writer.write(body);
      const endedLater = ended.then((isEnded) => isEnded || this.#discard(maxBytes));
      if (!(await Promise.race([endedLater, timeout(LINGER_MS)]))) super.cancel();
      await writer.close();
    };
    write().catch(() => {});
    return readable;
  }

  /**
   * @param {number} maxBytes
   * @returns whether the request has ended, or its client is gone
   */
  async #discard(maxBytes) {
    try {
      for (let size = 0; size < maxBytes; ) {
        const run = await this.next(DISCARD_RUN_BYTES);
        if (run === null) return true;
        size += run.length;
        this.#discardedBytes += run.length;
      }
      return false;
    } catch {
      return true;
    }
  }

  /** Lasts for as long as bytes come. */
  async #stall() {
    for (let seenBytes = -1; seenBytes !== this.#discardedBytes; ) {
      seenBytes = this.#discardedBytes;
      await timeout(STALL_MS);
    }
    return false;
  }
}

/**
 * @param {number} afterMs
 * @returns {Promise<false>}
 */
function timeout(afterMs) {
  return new Promise((resolve) => setTimeout(() => resolve(false), afterMs));
}

/**
 * A source whose runs come from `pull`. `pull(0)` says that nobody will ask again.
 * @implements {Source}
 */
export class PulledSource {
  #pull;

  /** @param {(maxBytes: number) => Promise<Uint8Array | null>} pull */
  constructor(pull) {
    this.#pull = pull;
  }

  /** @param {number} maxBytes */
  next(maxBytes) {
    return this.#pull(maxBytes);
  }

  cancel() {
    this.#pull(0).catch(() => {});
  }
}

/**
 * The source as a stream: its own when it has one, else one that asks for a run ahead of its reader.
 *
 * With a length, the receiver is told it in advance, and another number of bytes breaks the stream.
 * @param {Source} source
 * @param {number} [lengthBytes]
 */
export function streamOf(source, lengthBytes) {
  if (source instanceof ByteReader && source.untouched !== null) return source.untouched;
  // Not a byte stream: that one detaches the buffers it is given, at which others may be looking.
  const stream = new ReadableStream(
    {
      async pull(controller) {
        const run = await source.next(STREAM_RUN_BYTES);
        if (run === null) controller.close();
        else controller.enqueue(run);
      },
      cancel(reason) {
        source.cancel(reason);
      },
    },
    { highWaterMark: 1 },
  );
  if (lengthBytes === undefined) return stream;
  const fixed = new FixedLengthStream(lengthBytes);
  // The reader of `fixed` sees a failure as its own.
  stream.pipeTo(fixed.writable).catch(() => {});
  return fixed.readable;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {Uint8Array} target
 */
export function copyBytes(bytes, start, target) {
  target.set(bytes.subarray(start, start + target.length));
}

/**
 * The words of anything thrown; the cause's own when a binding wrapped it.
 * @param {any} error
 */
export function messageOf(error) {
  return String(error?.cause?.message ?? error?.message ?? error);
}

/** @param {ReadableStream} stream */
function readerOf(stream) {
  try {
    return stream.getReader({ mode: "byob" });
  } catch {
    // A stream made in JS need not be one of bytes, and says so only here.
    return stream.getReader();
  }
}

/**
 * @param {ReadableStreamBYOBReader} reader
 * @param {number} lengthBytes
 */
async function fill(reader, lengthBytes) {
  const { value } = await reader.readAtLeast(lengthBytes, new Uint8Array(lengthBytes));
  if (value === undefined) return NOTHING;
  // A short answer would hold on to all of the buffer.
  return value.length < lengthBytes / 2 ? value.slice() : value;
}

/** @param {Uint8Array[]} runs */
export function join(runs) {
  if (runs.length === 1 && runs[0] !== undefined) return runs[0];
  const whole = new Uint8Array(runs.reduce((size, run) => size + run.length, 0));
  let filled = 0;
  for (const run of runs) {
    whole.set(run, filled);
    filled += run.length;
  }
  return whole;
}

/** @param {unknown} chunk */
function bytesOf(chunk) {
  if (chunk instanceof Uint8Array) return chunk;
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  throw new TypeError("a stream of bytes gave something else");
}
