// The client, in a process of its own: what it does besides asking must not slow the asking down.
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** What is asked, over and over. */
export type Plan = {
  url: string;
  method?: "GET" | "POST";
  headers?: Record<string, string>;
  /** Length of the request's body, which begins like a PNG; or a text. */
  body?: number | string;
  connections: number;
  /** One of the two. */
  seconds?: number;
  requests?: number;
  /** What each answer must be, or the bench ends. */
  status: number;
  bytes?: number;
};

export type Outcome = { requests: number; seconds: number };

export class LoadClient {
  #process: ChildProcess;

  constructor() {
    this.#process = fork(join(import.meta.dirname, "load-client.ts"), { execArgv: ["--disable-warning=ExperimentalWarning"] });
  }

  async load(plan: Plan): Promise<Outcome> {
    const answered = once(this.#process, "message");
    this.#process.send(plan);
    const [outcome] = (await answered) as [Outcome | { error: string }];
    if ("error" in outcome) throw new Error(`${plan.method ?? "GET"} ${new URL(plan.url).pathname}: ${outcome.error}`);
    return outcome;
  }

  stop(): void {
    this.#process.disconnect();
  }
}
