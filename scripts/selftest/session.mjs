// One self-test's requests to the Worker.
import { printable } from "../migrate/client.mjs";

const TIMEOUT_MS = 120_000;

/** A service does not do what it should, and what to do about it. */
export class CheckFailed extends Error {
  /**
   * @param {string} message
   * @param {string} remedy
   */
  constructor(message, remedy) {
    super(printable(message));
    this.remedy = printable(remedy);
  }
}

/** There is nothing to check, for this reason. */
export class Skipped extends Error {}

export class Session {
  /** A URL of the bucket's S3 endpoint, once one was used. @type {string | undefined} */
  s3Url;
  #token;
  /** @type {Promise<any> | undefined} */
  #health;

  /** @param {{ url: URL, token?: string, generates: boolean }} options */
  constructor({ url, token, generates }) {
    this.url = url;
    this.generates = generates;
    this.#token = token;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{ token?: boolean, body?: object | Buffer, headers?: Record<string, string> }} [init]
   */
  send(method, path, { token = true, body, headers = {} } = {}) {
    const isBytes = Buffer.isBuffer(body);
    /** @type {Record<string, string>} */
    const all = { ...headers };
    if (token && this.#token !== undefined) all.Authorization = `Bearer ${this.#token}`;
    if (body !== undefined) all["Content-Type"] = isBytes ? "application/octet-stream" : "application/json";
    return this.outside(new URL(path, this.url).href, {
      method,
      headers: all,
      ...(body === undefined ? {} : { body: isBytes ? body : JSON.stringify(body) }),
    });
  }

  /**
   * The JSON of a success.
   * @param {string} method
   * @param {string} path
   * @param {object | Buffer} [body]
   * @param {Record<string, string>} [headers]
   * @returns {Promise<any>}
   */
  async json(method, path, body, headers) {
    const answer = await this.send(method, path, { ...(body === undefined ? {} : { body }), ...(headers === undefined ? {} : { headers }) });
    const text = await answer.text();
    if (answer.ok) return JSON.parse(text);
    throw refusal(answer.status, text);
  }

  /** @param {string} path */
  async bytes(path) {
    const answer = await this.send("GET", path);
    if (!answer.ok) throw refusal(answer.status, await answer.text());
    return Buffer.from(await answer.arrayBuffer());
  }

  /** What GET /health says, asked once; its 503 has the same JSON. */
  health() {
    this.#health ??= this.send("GET", "/health").then((answer) => answer.json());
    return this.#health;
  }

  /** @param {string} id */
  async remove(id) {
    const answer = await this.send("DELETE", `/api/images/${id}`);
    if (answer.status !== 204) throw refusal(answer.status, await answer.text());
    const gone = await this.send("GET", `/images/${id}`);
    await gone.body?.cancel();
    if (gone.status !== 410) throw new CheckFailed(`after its deletion the image was answered with ${gone.status}`, "Report this with the log.");
  }

  /**
   * @param {string} url
   * @param {RequestInit} [init]
   */
  async outside(url, init) {
    try {
      return await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(TIMEOUT_MS), ...init });
    } catch (error) {
      const cause = error instanceof Error ? ((/** @type {{ code?: string }} */ (error.cause ?? {})).code ?? error.message) : error;
      throw new CheckFailed(`${new URL(url).host} did not answer: ${cause}`, "Check the address and the connection.");
    }
  }
}

/**
 * @param {number} status
 * @param {string} text
 */
function refusal(status, text) {
  try {
    const { code, detail, remedy, request_id } = JSON.parse(text);
    return new CheckFailed(`${code}: ${detail} (request ${request_id})`, remedy);
  } catch {
    return new CheckFailed(`something that is not Stillstore answered ${status}`, "Check --url, and what is in front of the Worker.");
  }
}
