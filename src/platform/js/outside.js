// Calls to outside services: HTTP, and the platform's AI models.
import { ByteReader, messageOf } from "./streams.js";

/** Read of an error's answer, which holds a code and a sentence. */
const ERROR_BYTES = 64 << 10;

const REDIRECTS = [301, 302, 303, 307, 308];

/**
 * `[head]`, or what went wrong in one word, with more after a space.
 * @typedef {[head: string] | string} Answer
 */

/** What went wrong, on its way out. */
class Failure {
  /** @param {string} word */
  constructor(word) {
    this.word = word;
  }
}

/** Reads a stream up to a limit. */
class BoundedReader {
  #reader;
  #leftBytes;

  /**
   * @param {ReadableStream} stream
   * @param {number} maxBytes
   */
  constructor(stream, maxBytes) {
    this.#reader = new ByteReader(stream);
    this.#leftBytes = maxBytes;
  }

  /** @param {number} maxBytes */
  async peek(maxBytes) {
    const bytes = await this.#reader.peek(Math.min(maxBytes, this.#leftBytes + 1));
    if (bytes.length > this.#leftBytes) this.#refuse();
    return bytes;
  }

  /** @param {number} maxBytes */
  async next(maxBytes) {
    const run = await this.#reader.next(Math.min(maxBytes, this.#leftBytes + 1));
    this.#leftBytes -= run?.length ?? 0;
    if (this.#leftBytes < 0) this.#refuse();
    return run;
  }

  cancel() {
    this.#reader.cancel();
  }

  #refuse() {
    this.cancel();
    throw new Failure("too-large");
  }
}

/** One call, which ends when its time is up or when it is dropped. */
export class Exchange {
  /** @type {BoundedReader | null} */
  #body = null;
  #abort = new AbortController();
  #word = "interrupted";
  #timer;
  #aborted;

  /** @param {number} timeoutMs until the last byte of the answer */
  constructor(timeoutMs) {
    this.#aborted = new Promise((_, reject) => {
      this.#abort.signal.addEventListener("abort", reject);
    });
    this.#aborted.catch(() => {});
    this.#timer = setTimeout(() => {
      this.#word = "timeout";
      this.#abort.abort();
    }, timeoutMs);
  }

  /** Nobody waits for the answer any more. */
  drop() {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  /**
   * The head alone: the status, the number of requests, then the headers' names and values, a line each. The body is read by
   * {@link peek} and {@link next}.
   * @param {string} requestJson
   * @param {Uint8Array | undefined} body
   * @param {number} maxBytes
   * @returns {Promise<Answer>}
   */
  send(requestJson, body, maxBytes) {
    return this.#bounded(async () => {
      const { response, requests } = await this.#fetch(JSON.parse(requestJson), body).catch((error) => {
        throw new Failure(`connect ${messageOf(error)}`);
      });
      if (Number(response.headers.get("content-length") ?? 0) > maxBytes) throw new Failure("too-large");
      this.#body = response.body && this.#reader(response.body, maxBytes);
      return [[response.status, requests, ...response.headers].flat().join("\n")];
    });
  }

  /**
   * The bytes that {@link next} would give, left in place; a string when something went wrong.
   * @param {number} maxBytes
   */
  peek(maxBytes) {
    return this.#bounded(async () => (await this.#body?.peek(maxBytes)) ?? new Uint8Array(0));
  }

  /**
   * The next run of the answer's body, `null` at the end; a string when something went wrong.
   * @param {number} maxBytes
   */
  next(maxBytes) {
    return this.#bounded(async () => {
      const run = (await this.#body?.next(maxBytes)) ?? null;
      if (run === null) clearTimeout(this.#timer);
      return run;
    });
  }

  /**
   * The head alone: `json` or `binary`. The body is read by {@link peek} and {@link next}.
   * @param {Ai} ai
   * @param {string} model
   * @param {string} inputJson
   * @param {number} maxBytes
   * @returns {Promise<Answer>}
   */
  run(ai, model, inputJson, maxBytes) {
    return this.#bounded(() => this.#run(ai, model, inputJson, maxBytes));
  }

  /**
   * @param {Ai} ai
   * @param {string} model
   * @param {string} inputJson
   * @param {number} maxBytes
   * @returns {Promise<Answer>}
   */
  async #run(ai, model, inputJson, maxBytes) {
    /** @type {unknown} a response when the binding honours the option, else what it makes of one */
    const answer = await ai
      .run(/** @type {any} */ (model), JSON.parse(inputJson), {
        returnRawResponse: true,
        signal: this.#abort.signal,
      })
      .catch((/** @type {unknown} */ error) => {
        throw new Failure(`failed ${messageOf(error)}`);
      });
    const response = responseOf(answer);
    if (!response.ok) throw await this.#modelFailure(response);
    this.#body = response.body && this.#reader(response.body, maxBytes);
    return [response.headers.get("content-type")?.startsWith("application/json") ? "json" : "binary"];
  }

  /**
   * @param {{ method: string, url: string, headers: [string, string][], maxRedirects: number }} request
   * @param {Uint8Array | undefined} body
   */
  async #fetch({ method, url, headers, maxRedirects }, body) {
    const init = { method, body, redirect: /** @type {const} */ ("manual"), signal: this.#abort.signal };
    let response = await fetch(url, { ...init, headers });
    let from = url;
    let requests = 1;
    const anonymous = headers.filter(([name]) => name !== "authorization");
    for (; requests <= maxRedirects && method === "GET"; requests += 1) {
      const location = REDIRECTS.includes(response.status) ? response.headers.get("location") : null;
      const target = location === null ? null : URL.parse(location, from);
      if (target?.protocol !== "https:") break;
      await response.body?.cancel();
      from = target.href;
      response = await fetch(from, { ...init, headers: anonymous });
    }
    return { response, requests };
  }

  /**
   * @param {ReadableStream} body
   * @param {number} maxBytes
   */
  #reader(body, maxBytes) {
    const reader = new BoundedReader(body, maxBytes);
    this.#abort.signal.addEventListener("abort", () => reader.cancel());
    return reader;
  }

  /**
   * @param {Response} answer
   * @returns {Promise<Failure>}
   */
  async #modelFailure(answer) {
    const reader = new ByteReader(/** @type {ReadableStream} */ (answer.body));
    const text = new TextDecoder().decode((await reader.next(ERROR_BYTES)) ?? undefined);
    reader.cancel();
    try {
      const error = JSON.parse(text);
      return new Failure(`failed ${error.internalCode ?? error.errors[0].code}:`);
    } catch {
      return new Failure(`failed HTTP ${answer.status}`);
    }
  }

  /**
   * @template Result
   * @param {() => Promise<Result>} work
   * @returns {Promise<Result | string>} what went wrong when it is no result
   */
  async #bounded(work) {
    try {
      return await Promise.race([work(), this.#aborted]);
    } catch (error) {
      clearTimeout(this.#timer);
      return this.#abort.signal.aborted || !(error instanceof Failure) ? this.#word : error.word;
    }
  }
}

/** @param {unknown} answer of a model, which need not be a response */
function responseOf(answer) {
  if (answer instanceof Response) return answer;
  return answer instanceof ReadableStream ? new Response(answer) : Response.json(answer);
}
