// Calls to outside services: HTTP, and the platform's AI models.
import { ByteReader, messageOf } from "./streams.js";

/** Answers are read in runs of this length, so that the limit on their size is checked as often. */
const RUN_BYTES = 1 << 20;

/** Read of an error's answer, which holds a code and a sentence. */
const ERROR_BYTES = 64 << 10;

const REDIRECTS = [301, 302, 303, 307, 308];

/**
 * `[head, ...runs]`, or what went wrong in one word, with more after a space.
 * @typedef {[head: string, ...runs: Uint8Array[]] | string} Answer
 */

/** What went wrong, on its way out. */
class Failure {
  /** @param {string} word */
  constructor(word) {
    this.word = word;
  }
}

/** One call, which ends when its time is up or when it is dropped. */
export class Exchange {
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
   * The head is the status, then the headers' names and values, a line each.
   * @param {string} requestJson
   * @param {Uint8Array | undefined} body
   * @param {number} maxBytes
   * @returns {Promise<Answer>}
   */
  send(requestJson, body, maxBytes) {
    return this.#bounded(async () => {
      const response = await this.#fetch(JSON.parse(requestJson), body).catch((error) => {
        throw new Failure(`connect ${messageOf(error)}`);
      });
      if (Number(response.headers.get("content-length") ?? 0) > maxBytes) throw new Failure("too-large");
      return [[response.status, ...response.headers].flat().join("\n"), ...(await this.#read(response.body, maxBytes))];
    });
  }

  /**
   * The head is `json` or `binary`.
   * @param {Ai} ai
   * @param {string} model
   * @param {string} inputJson
   * @param {number} maxBytes
   * @returns {Promise<Answer>}
   */
  run(ai, model, inputJson, maxBytes) {
    return this.#bounded(async () => {
      /** @type {unknown} a response when the binding honours the option, else what it makes of one */
      const answer = await ai
        .run(/** @type {any} */ (model), JSON.parse(inputJson), {
          returnRawResponse: true,
          signal: this.#abort.signal,
        })
        .catch((/** @type {unknown} */ error) => {
          throw new Failure(`failed ${messageOf(error)}`);
        });
      if (answer instanceof ReadableStream) return ["binary", ...(await this.#read(answer, maxBytes))];
      if (!(answer instanceof Response)) {
        const json = new TextEncoder().encode(JSON.stringify(answer));
        if (json.length > maxBytes) throw new Failure("too-large");
        return ["json", json];
      }
      if (!answer.ok) throw await this.#modelFailure(answer);
      const isJson = answer.headers.get("content-type")?.startsWith("application/json") ?? false;
      return [isJson ? "json" : "binary", ...(await this.#read(answer.body, maxBytes))];
    });
  }

  /**
   * @param {{ method: string, url: string, headers: [string, string][], maxRedirects: number }} request
   * @param {Uint8Array | undefined} body
   */
  async #fetch({ method, url, headers, maxRedirects }, body) {
    const init = { method, body, redirect: /** @type {const} */ ("manual"), signal: this.#abort.signal };
    let response = await fetch(url, { ...init, headers });
    let from = url;
    const anonymous = headers.filter(([name]) => name !== "authorization");
    for (let followed = 0; followed < maxRedirects && method === "GET"; followed += 1) {
      const location = REDIRECTS.includes(response.status) ? response.headers.get("location") : null;
      const target = location === null ? null : URL.parse(location, from);
      if (target?.protocol !== "https:") break;
      await response.body?.cancel();
      from = target.href;
      response = await fetch(from, { ...init, headers: anonymous });
    }
    return response;
  }

  /**
   * @param {ReadableStream | null} body
   * @param {number} maxBytes
   */
  async #read(body, maxBytes) {
    if (body === null) return [];
    const reader = new ByteReader(body);
    this.#abort.signal.addEventListener("abort", () => reader.cancel());
    const runs = [];
    for (let size = 0; ; ) {
      const run = await reader.next(Math.min(RUN_BYTES, maxBytes - size + 1));
      if (run === null) return runs;
      runs.push(run);
      size += run.length;
      if (size > maxBytes) {
        reader.cancel();
        throw new Failure("too-large");
      }
    }
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

  /** @param {() => Promise<Answer>} work */
  async #bounded(work) {
    try {
      return await Promise.race([work(), this.#aborted]);
    } catch (error) {
      return this.#abort.signal.aborted || !(error instanceof Failure) ? this.#word : error.word;
    } finally {
      clearTimeout(this.#timer);
    }
  }
}
