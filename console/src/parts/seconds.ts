import { useEffect, useState } from "preact/hooks";

/** Seconds since a moment, told anew each second; 0 without a moment. */
export function useSeconds(sinceMs: number | undefined): number {
  const [nowMs, setNowMs] = useState(Date.now);
  useEffect(() => {
    if (sinceMs === undefined) return;
    const timer = setInterval(() => setNowMs(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [sinceMs]);
  return sinceMs === undefined ? 0 : Math.max(0, (nowMs - sinceMs) / 1_000);
}
