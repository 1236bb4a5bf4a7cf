// Knows the linear memory of the Worker's wasm instance. Imported before the Worker, which instantiates on import.

let memory: WebAssembly.Memory | undefined;
/** The memory of each instance of the codecs, a module of its own. */
const codecs: WebAssembly.Memory[] = [];

// The Worker makes a new instance after a panic, so the newest counts.
WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(target, args: [WebAssembly.Module, WebAssembly.Imports?]) {
    const instance = new target(...args);
    if (instance.exports.memory instanceof WebAssembly.Memory) {
      if ("room" in instance.exports) codecs.push(instance.exports.memory);
      else memory = instance.exports.memory;
    }
    return instance;
  },
});

/** The linear memory; undefined when the Worker has no wasm. */
export function wasmMemory(): WebAssembly.Memory | undefined {
  return memory;
}

/** Size of the linear memory in bytes: its peak, since it never shrinks. Undefined when the Worker has no wasm. */
export function wasmMemoryBytes(): number | undefined {
  return memory?.buffer.byteLength;
}

/** How many instances of the codecs there have been, and the largest memory of one. */
export function codecInstances(): { instances: number; peakBytes: number } {
  return { instances: codecs.length, peakBytes: Math.max(0, ...codecs.map(({ buffer }) => buffer.byteLength)) };
}
