// A run's receipt: fetched once the run has ended, and checked in the browser.
import { useEffect, useState } from "preact/hooks";

import { request } from "../api/client.ts";
import type { Line, Run } from "../api/types.ts";

/** Receipts beyond this are for the command line: a tab would hold all of it. */
export const MAX_BYTES = 20_000_000;

export type CheckedReceipt =
  | { state: "none" }
  | { state: "loading" }
  | { state: "too-large" }
  | { state: "unreadable"; error: unknown }
  | { state: "read"; lines: Line[]; bytes: Uint8Array<ArrayBuffer>; findings: string[]; isChecked: boolean };

export function useReceipt(run: Run | undefined): CheckedReceipt {
  const [receipt, setReceipt] = useState<CheckedReceipt>({ state: "none" });
  const info = run?.receipt ?? null;
  useEffect(() => {
    if (run === undefined || info === null) return;
    if (info.bytes > MAX_BYTES) return setReceipt({ state: "too-large" });
    const controller = new AbortController();
    setReceipt({ state: "loading" });
    read(run, controller.signal).then(
      (read) => !controller.signal.aborted && setReceipt(read),
      (error: unknown) => !controller.signal.aborted && setReceipt({ state: "unreadable", error }),
    );
    return () => controller.abort();
  }, [run?.id, info?.sha256]);
  return receipt;
}

async function read(run: Run, signal: AbortSignal): Promise<CheckedReceipt> {
  const response = await request("run-receipt", { path: { id: run.id }, signal });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const rows = new TextDecoder().decode(bytes).split("\n").filter((row) => row !== "");
  const lines = rows.slice(1, -1).map((row) => JSON.parse(row) as Line);
  // Browsers have no digests over plain http.
  const isChecked = globalThis.crypto?.subtle !== undefined;
  return { state: "read", lines, bytes, findings: isChecked ? await findings(run, bytes, rows) : [], isChecked };
}

/** What is not as the run and the receipt itself say, by docs/receipts.md. */
async function findings(run: Run, bytes: Uint8Array<ArrayBuffer>, rows: string[]): Promise<string[]> {
  const found: string[] = [];
  const end = JSON.parse(rows.at(-1) ?? "{}") as { end?: boolean; lines?: number; sha256?: string };
  const lastLineAt = bytes.lastIndexOf(10, bytes.length - 2) + 1;
  if (end.end !== true) found.push("It does not end in the line that proves the others.");
  if (end.sha256 !== (await sha256(bytes.subarray(0, lastLineAt)))) found.push("Its lines do not have the digest that its last line says.");
  if (end.lines !== rows.length - 2) found.push("It does not have as many lines as its last line says.");
  if (run.receipt !== null && run.receipt.sha256 !== (await sha256(bytes))) found.push("It does not have the digest that the run says.");
  return found;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
