import { AsyncLocalStorage } from "node:async_hooks";
import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { createRequire } from "node:module";
import { join } from "node:path";

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

/**
 * Runs a function in which Miniflare starts workerd with a log that nobody reads: reading takes processor time, too. Miniflare is told by
 * this process's environment, so that no other start may be under way.
 */
export async function withSilentWorkerd<T>(start: () => Promise<T>): Promise<T> {
  const { default: workerd } = createRequire(import.meta.url)("workerd") as { default: string };
  const chosen = process.env.MINIFLARE_WORKERD_PATH;
  process.env.WORKERD = chosen ?? workerd;
  process.env.MINIFLARE_WORKERD_PATH = join(import.meta.dirname, "silent-workerd.sh");
  try {
    return await start();
  } finally {
    delete process.env.WORKERD;
    if (chosen === undefined) delete process.env.MINIFLARE_WORKERD_PATH;
    else process.env.MINIFLARE_WORKERD_PATH = chosen;
  }
}
