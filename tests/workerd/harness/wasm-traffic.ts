/** What crossed between a Worker's JavaScript and its wasm. Types only: both sides import them. */
export type WasmTraffic = {
  /** Calls from JavaScript into wasm, and from wasm into JavaScript. */
  callsIn: number;
  callsOut: number;
  /** Bytes that JavaScript wrote into wasm memory and read out of it. */
  bytesIn: number;
  bytesOut: number;
};
