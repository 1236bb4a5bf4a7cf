// Clock, timers and digests.
import { hex } from "./r2.js";

const SETTLED = Promise.resolve();

// Each time a future in wasm wakes, it asks for a microtask. The platform's own takes 4 us to get there, a promise 0.2. What a task throws
// (a panic) is reported as from there, since worker-build then makes a new instance.
globalThis.queueMicrotask = (task) => {
  SETTLED.then(() => task()).catch(reportError);
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
