// Clock, timers and digests.
import { hex } from "./r2.js";

// With it wasm-bindgen wakes its tasks. workerd's own wraps each task in a native object, 10 us a wake. A panic is told of all the same.
globalThis.queueMicrotask = async (task) => {
  await undefined;
  try {
    task();
  } catch (error) {
    reportError(error);
  }
};

/** A timer that can be dropped. */
export class Timer {
  #id;
  /** @type {() => void} */
  #resolve = () => {};

  /** @param {number} durationMs */
  constructor(durationMs) {
    this.done = new Promise((resolve) => {
      this.#resolve = () => resolve(undefined);
    });
    this.#id = setTimeout(this.#resolve, durationMs);
  }

  /** Also ends the waiting: a promise that never settles would keep its callbacks, and their wasm memory, for good. */
  cancel() {
    clearTimeout(this.#id);
    this.#resolve();
  }
}

/**
 * @param {Uint8Array} bytes
 * @returns {Promise<string>} in hexadecimal
 */
export async function sha256(bytes) {
  return hex(await crypto.subtle.digest("SHA-256", bytes));
}

/** The SHA-256 of bytes that pass by. */
export class Digesting {
  #stream = new crypto.DigestStream("SHA-256");
  #writer = this.#stream.getWriter();

  constructor() {
    this.#stream.digest.catch(() => {});
    this.#writer.closed.catch(() => {});
  }

  /** @param {Uint8Array} run */
  async write(run) {
    await this.#writer.write(run);
  }

  /** @returns {Promise<string>} in hexadecimal */
  async finish() {
    await this.#writer.close();
    return hex(await this.#stream.digest);
  }
}
