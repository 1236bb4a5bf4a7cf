// A run, looked at again and again until it has ended.
import { useEffect, useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { Run } from "../api/types.ts";
import { hasEnded } from "./words.ts";

const EVERY_MS = 1_000;
/** While nobody looks, or nothing moves. */
const SELDOM_MS = 5_000;
/** What the rate is taken from. */
const RATE_WINDOW_MS = 30_000;

type Sample = { atMs: number; done: number; bytes: number };

export type Followed = {
  run: Run | undefined;
  error: unknown;
  /** Items and bytes a second over the last half minute; undefined until there is something to compare. */
  rate: { items: number; bytes: number } | undefined;
  look: () => void;
};

export function useRun(id: string): Followed {
  const [run, setRun] = useState<Run>();
  const [error, setError] = useState<unknown>();
  const [samples, setSamples] = useState<Sample[]>([]);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const controller = new AbortController();
    const look = async () => {
      let isMoving = true;
      try {
        const next = await call("describe-run", { path: { id }, signal: controller.signal });
        if (controller.signal.aborted) return;
        setRun(next);
        setError(undefined);
        const { done, bytes } = next.progress;
        setSamples((before) => [...before.filter(({ atMs }) => atMs > Date.now() - RATE_WINDOW_MS), { atMs: Date.now(), done, bytes }]);
        if (hasEnded(next)) return;
        isMoving = next.state === "running";
      } catch (refusal) {
        if (controller.signal.aborted) return;
        // The run goes on without this page: the last answer stays, and it is asked again.
        setError(refusal);
        isMoving = false;
      }
      timer = setTimeout(() => void look(), isMoving && !document.hidden ? EVERY_MS : SELDOM_MS);
    };
    void look();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [id, round]);
  return { run, error, rate: rateOf(samples), look: () => setRound((before) => before + 1) };
}

function rateOf(samples: Sample[]): { items: number; bytes: number } | undefined {
  const first = samples[0];
  const last = samples.at(-1);
  if (first === undefined || last === undefined) return undefined;
  const seconds = (last.atMs - first.atMs) / 1_000;
  if (seconds < 1 || last.done === first.done) return undefined;
  return { items: (last.done - first.done) / seconds, bytes: (last.bytes - first.bytes) / seconds };
}
