// Runs oha, which counts statuses, transport errors and bytes, but does not look at the bytes.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { oha } from "../scripts/toolchain.mjs";
import type { Ask } from "./mix.ts";

export type Outcome = {
  requests: number;
  statuses: Record<string, number>;
  /** Transport errors by their text. */
  errors: Record<string, number>;
  answeredBytes: number;
  /** Milliseconds from request to the answer's last byte; null without any answer. */
  p50Ms: number | null;
  p99Ms: number | null;
  maxMs: number | null;
};

/** A request that is not answered by then is an error. */
const TIMEOUT_SECONDS = 60;

/** What is read of oha's JSON. */
type OhaReport = {
  summary: { totalData: number };
  metrics: { latency_ms: { p50: number | null; p99: number | null; max: number | null } };
  statusCodeDistribution: Record<string, number>;
  errorDistribution: Record<string, number>;
};

/**
 * Asks until `seconds` are over, and waits for the answers that are then to come.
 * @param directory for the files that oha reads and writes
 * @param signal ends it at once
 */
export async function runOha(ask: Ask, connections: number, seconds: number, directory: string, signal: AbortSignal): Promise<Outcome> {
  const file = (suffix: string) => join(directory, `${ask.name}.${suffix}`);
  writeFileSync(file("urls"), ask.urls.join("\n"));
  const args = [
    "--no-tui",
    ...["--output-format", "json", "--output", file("json")],
    ...["-z", `${seconds}s`, "--wait-ongoing-requests-after-deadline"],
    ...["-c", String(connections), "--worker-threads", "1"],
    ...["-t", `${TIMEOUT_SECONDS}s`],
    ...["-m", ask.method, "--disable-compression"],
    ...Object.entries(ask.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]),
  ];
  if (ask.perSecond !== undefined) args.push("-q", String(ask.perSecond));
  if (ask.body !== undefined) {
    writeFileSync(file("body"), ask.body);
    args.push("-D", file("body"));
  }
  const child = spawn(oha.program, [...args, "--urls-from-file", file("urls")], { stdio: ["ignore", "inherit", "inherit"], signal });
  const [code, killedBy] = await once(child, "close");
  if (code !== 0) throw new Error(`oha for ${ask.name} ended with ${code ?? killedBy}`);
  return outcomeOf(JSON.parse(readFileSync(file("json"), "utf8")) as OhaReport);
}

export function outcomeOf({ summary, metrics, statusCodeDistribution, errorDistribution }: OhaReport): Outcome {
  const counts = [...Object.values(statusCodeDistribution), ...Object.values(errorDistribution)];
  return {
    requests: counts.reduce((one, other) => one + other, 0),
    statuses: statusCodeDistribution,
    errors: errorDistribution,
    answeredBytes: summary.totalData,
    p50Ms: metrics.latency_ms.p50,
    p99Ms: metrics.latency_ms.p99,
    maxMs: metrics.latency_ms.max,
  };
}

/** Everything about an outcome that is not as the ask wants it. */
export function problemsOf(ask: Pick<Ask, "title" | "status" | "answerBytes">, outcome: Outcome): string[] {
  const answers = Object.entries({ ...outcome.statuses, ...outcome.errors });
  const unexpected = answers.filter(([what]) => what !== String(ask.status));
  const problems = unexpected.map(([what, times]) => `${ask.title}: ${times} times ${what}`);
  if (outcome.statuses[ask.status] === undefined) problems.push(`${ask.title}: no answer ${ask.status}`);
  const expectedBytes = (ask.answerBytes ?? NaN) * (outcome.statuses[ask.status] ?? 0);
  if (unexpected.length === 0 && ask.answerBytes !== undefined && outcome.answeredBytes !== expectedBytes) {
    problems.push(`${ask.title}: ${outcome.answeredBytes} bytes, not ${expectedBytes}`);
  }
  return problems;
}
