// Counts what crosses between a Worker's JavaScript and its wasm, when the test process asks for it.
//
// The glue of wasm-bindgen takes memory for a string with `__wbindgen_malloc`, corrects its length with `__wbindgen_realloc`, and copies
// everything else with `set` on a view of wasm memory. It reads by `decode`, by `set` from such a view, or by making an array of one.
import { env } from "cloudflare:workers";

import type { WasmTraffic } from "../wasm-traffic.ts";
import { wasmMemory } from "./wasm-memory.ts";

const NOTHING: WasmTraffic = { callsIn: 0, callsOut: 0, bytesIn: 0, bytesOut: 0 };

let traffic = { ...NOTHING };

/** Since the start or the last time it was taken; nothing where it is not watched. */
export function takeWasmTraffic(): WasmTraffic {
  const taken = traffic;
  traffic = { ...NOTHING };
  return taken;
}

function isInWasm(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && value.buffer === wasmMemory()?.buffer;
}

/** Replaces a method by one that also calls `note`. */
function watch<T extends object>(prototype: T, name: keyof T & string, note: (self: unknown, argument: any) => void): void {
  const method = prototype[name] as (...args: unknown[]) => unknown;
  Reflect.set(prototype, name, function (this: unknown, ...args: unknown[]) {
    note(this, args[0]);
    return method.apply(this, args);
  });
}

function counting(functions: object, note: (name: string, args: any[]) => void): Record<string, any> {
  const entries = Object.entries(functions).map(([name, value]) => [
    name,
    typeof value === "function"
      ? (...args: unknown[]) => {
          note(name, args);
          return value(...args);
        }
      : value,
  ]);
  return Object.fromEntries(entries);
}

function noteCallIn(name: string, args: any[]): void {
  if (name === "__wbindgen_malloc") traffic.bytesIn += args[0];
  else if (name === "__wbindgen_realloc") traffic.bytesIn += args[2] - args[1];
  else traffic.callsIn += 1;
}

if ((env as Record<string, unknown>).HARNESS_WASM_TRAFFIC !== undefined) {
  watch(TextDecoder.prototype, "decode", (_, source) => {
    if (isInWasm(source)) traffic.bytesOut += source.byteLength;
  });
  watch(Uint8Array.prototype, "set", (target, source) => {
    if (isInWasm(target)) traffic.bytesIn += source.length;
    else if (isInWasm(source)) traffic.bytesOut += source.length;
  });
  globalThis.Uint8Array = new Proxy(Uint8Array, {
    construct(target, args: any, newTarget) {
      if (isInWasm(args[0])) traffic.bytesOut += args[0].length;
      return Reflect.construct(target, args, newTarget);
    },
  });
  WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
    construct(target, [module, imports = {}]: [WebAssembly.Module, WebAssembly.Imports?]) {
      const noteCallOut = () => {
        traffic.callsOut += 1;
      };
      const counted = Object.entries(imports).map(([name, functions]) => [name, counting(functions, noteCallOut)]);
      const instance = new target(module, Object.fromEntries(counted));
      return { exports: counting(instance.exports, noteCallIn) };
    },
  });
}
