// Knows the linear memory of the Worker's wasm instance. Imported before the Worker, which instantiates on import.

let memory: WebAssembly.Memory | undefined;

// The Worker makes a new instance after a panic, so the newest counts.
WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
  construct(target, args: [WebAssembly.Module, WebAssembly.Imports?]) {
    const instance = new target(...args);
    if (instance.exports.memory instanceof WebAssembly.Memory) memory = instance.exports.memory;
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
