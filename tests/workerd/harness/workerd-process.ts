import { AsyncLocalStorage } from "node:async_hooks";
import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";

const started = new AsyncLocalStorage<ChildProcess[]>();

subscribe("child_process", (message) => {
  started.getStore()?.push((message as { process: ChildProcess }).process);
});

/** Runs a function and returns the child processes it started beside its result: Miniflare keeps its own to itself. */
export async function withChildProcesses<T>(
  start: () => Promise<T>,
): Promise<{ result: T; children: ChildProcess[] }> {
  const children: ChildProcess[] = [];
  const result = await started.run(children, start);
  return { result, children };
}
