// Decoders and encoders: a wasm module of their own (codecs/), instantiated when the first variant is made.

/** What the module's functions answer with. */
const REFUSALS = ["", "unsupported", "undecodable", "too-many-pixels"];
/** An instance that took more is not kept: wasm memory never shrinks, and the next variants seldom take as much. */
const KEPT_BYTES = 16 << 20;

/**
 * @typedef {object} Exports
 * @property {WebAssembly.Memory} memory
 * @property {(sizeBytes: number) => number} room
 * @property {(...numbers: number[]) => number} transform
 * @property {(...numbers: number[]) => number} measure
 * @property {(fact: number) => number} answer
 */

/** @type {Exports | undefined} */
let kept;

/** @returns {Exports} */
function instantiate() {
  // The main module imports it, since only that one's imports are modules of the Worker.
  const module = /** @type {WebAssembly.Module | undefined} */ (Reflect.get(globalThis, "stillstoreCodecs"));
  if (module === undefined) throw new Error("the Worker was built without codecs");
  return /** @type {Exports} */ (/** @type {unknown} */ (new WebAssembly.Instance(module, {}).exports));
}

/**
 * `[bytes, format, isOfAnimation, placeholder]`, or why there is none in a word, with more after a space. After a trap the instance is thrown away.
 * @param {Uint8Array} image
 * @param {Uint32Array} numbers of the module's `transform`, in order
 * @returns {[Uint8Array, number, boolean, Uint8Array] | string}
 */
export function transform(image, numbers) {
  return work("transform", image, numbers);
}

/**
 * The same with the module's `measure`, whose bytes are the measures.
 * @param {Uint8Array} image
 * @param {Uint32Array} numbers of the module's `measure`, in order
 * @returns {[Uint8Array, number, boolean, Uint8Array] | string}
 */
export function measure(image, numbers) {
  return work("measure", image, numbers);
}

/**
 * @param {"transform" | "measure"} name
 * @param {Uint8Array} image
 * @param {Uint32Array} numbers
 * @returns {[Uint8Array, number, boolean, Uint8Array] | string}
 */
function work(name, image, numbers) {
  const codecs = kept ?? instantiate();
  kept = undefined;
  try {
    const room = codecs.room(image.length) >>> 0;
    new Uint8Array(codecs.memory.buffer, room, image.length).set(image);
    const refusal = REFUSALS[codecs[name](...numbers)];
    if (refusal !== "") {
      keep(codecs);
      return refusal ?? "trapped with an unknown answer";
    }
    const [place = 0, sizeBytes = 0, format = 0, isOfAnimation = 0, placeholderPlace = 0, placeholderBytes = 0] = [0, 1, 2, 5, 6, 7].map(
      (fact) => codecs.answer(fact) >>> 0,
    );
    const bytes = new Uint8Array(codecs.memory.buffer, place, sizeBytes).slice();
    const placeholder = new Uint8Array(codecs.memory.buffer, placeholderPlace, placeholderBytes).slice();
    codecs.room(0);
    keep(codecs);
    return [bytes, format, isOfAnimation === 1, placeholder];
  } catch (error) {
    return `trapped ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** @param {Exports} codecs */
function keep(codecs) {
  if (codecs.memory.buffer.byteLength <= KEPT_BYTES) kept = codecs;
}
