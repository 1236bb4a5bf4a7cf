// Asks again and again as long as something moves.
import { useEffect } from "preact/hooks";

import { useLoaded } from "../parts/loaded.ts";
import type { Loaded } from "../parts/loaded.ts";

const EVERY_MS = 2_000;
/** While nobody looks. */
const SELDOM_MS = 10_000;

/** As `useLoaded`, and again while `isMoving` says so of the answer. */
export function useWatched<T>(load: (signal: AbortSignal) => Promise<T>, isMoving: (value: T) => boolean, inputs: unknown[]): Loaded<T> {
  const loaded = useLoaded(load, inputs);
  const { value, error, isLoading, reload } = loaded;
  useEffect(() => {
    if (isLoading || (error === undefined && (value === undefined || !isMoving(value)))) return;
    const timer = setTimeout(reload, document.hidden || error !== undefined ? SELDOM_MS : EVERY_MS);
    return () => clearTimeout(timer);
  }, [value, error, isLoading]);
  return loaded;
}
