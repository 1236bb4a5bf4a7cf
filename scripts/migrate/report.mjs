// What is said of a run that has ended, and of the images as a whole.
import { printable } from "./client.mjs";
import { bytes, count, counted, dollars, duration } from "./units.mjs";

/** Failures beyond these are in the receipt. */
const FAILURES_SHOWN = 20;

/** @typedef {import("./client.mjs").Run} Run */

/**
 * Whether all went well.
 * @param {Run} run
 */
export function isGood({ state, progress, result }) {
  return state === "completed" && progress.failed === 0 && result?.success !== false && result?.isValid !== false && result?.isComplete !== false;
}

/**
 * @param {Run} run
 * @param {string} receiptUrl
 * @returns {string[]} lines
 */
export function reportLines(run, receiptUrl) {
  const result = run.result ?? {};
  const failures = failuresOf(result);
  const failed = Math.max(failures.length, run.progress.failed);
  const shown = failures.slice(0, FAILURES_SHOWN);
  const lines = [...verdict(run, result), ...costs(run, result)];
  for (const warning of listOf(result.warnings)) lines.push(`Warning: ${textOf(warning)}`);
  if (failed > 0) {
    const rest = failed > shown.length ? `, of which the first ${shown.length}` : "";
    lines.push(`${count(failed)} failed${rest}:`, ...shown.map((failure) => `  ${failure}`));
  }
  if (run.receipt) {
    lines.push(`Receipt of every image: ${receiptUrl}`);
    lines.push(`  in R2: ${printable(run.receipt.key)}, sha256 ${printable(run.receipt.sha256)}`);
  } else if (failed > shown.length) {
    lines.push(`The others are in the receipt: ${receiptUrl}`);
  }
  return lines;
}

/**
 * @param {Run} run
 * @param {Record<string, any>} result
 */
function verdict(run, result) {
  const { action, dryRun, progress, state } = run;
  const time = typeof result.duration === "number" ? ` in ${duration(result.duration / 1_000)}` : "";
  const skipped = progress.skipped > 0 ? `, ${count(progress.skipped)} skipped` : "";
  const ended = ENDINGS[state];
  const lines = ended === undefined ? [] : [`The run ${ended}.`];
  const total = counted(result.total ?? progress.total ?? progress.done, "image");
  switch (action) {
    case "validate": {
      const of = `${counted(result.totalChecked ?? progress.done, "image")} checked, ${count(result.valid ?? 0)} valid`;
      const wrong = ["missing", "corrupted", "orphaned"].map((kind) => `${count(listOf(result[kind]).length)} ${kind}`);
      lines.push(`${result.isValid ? "Valid" : "Not valid"}: ${of}, ${count(result.invalid ?? 0)} invalid${time}.`);
      if (!result.isValid) lines.push(`  ${wrong.join(", ")}`);
      return lines;
    }
    case "complete": {
      const copies = `Copies: ${count(result.verified ?? 0)} right, ${count(result.wrong ?? 0)} wrong`;
      const why = listOf(result.open).map((word) => OPEN[word] ?? printable(word));
      lines.push(result.isComplete ? "Complete: the source can be switched off." : `Not complete${why.length > 0 ? `: ${why.join(", ")}` : ""}.`);
      lines.push(`  ${count(result.left ?? 0)} left at the source (${period(result.listedFrom, result.listedUntil)})`);
      lines.push(`  ${copies} (${period(result.verifiedFrom, result.verifiedUntil)})`);
      if (result.references > 0) lines.push(`  ${counted(result.references, "text")} with URLs of the source`);
      if (result.lastReadThrough) lines.push(`  last read through at ${printable(result.lastReadThrough)}`);
      return lines;
    }
    case "rollback": {
      const back = count(result.rolledBack ?? progress.succeeded);
      lines.push(dryRun ? `Would bring back ${back} of ${total}${skipped}.` : `Brought back ${back} of ${total}${skipped}${time}.`);
      if (result.references > 0) lines.push(`${counted(result.references, "text")} ${dryRun ? "would have" : "have"} the old URLs again.`);
      break;
    }
    case "cleanup":
      lines.push(
        `Dropped ${count(result.cleaned ?? progress.succeeded)} of ${total}, kept ${count(result.kept ?? 0)}${time};` +
          ` ${bytes(result.freedBytes ?? 0)} of database freed.`,
      );
      break;
    case "migrate": {
      const moved = `${count(result.migrated ?? progress.succeeded)} of ${total}, ${bytes(result.bytes ?? progress.bytes)}`;
      lines.push(dryRun ? `Would move ${moved}${skipped}.` : `Moved ${moved}${skipped}${time}.`);
      if (result.references > 0) lines.push(`${counted(result.references, "text")} ${dryRun ? "would name" : "name"} copies in place of objects.`);
      break;
    }
    default:
      lines.push(`${printable(action)}: ${count(progress.succeeded)} of ${total}${skipped}${time}.`);
  }
  if (dryRun) lines.push("Nothing was changed.");
  return lines;
}

/** Why a source is needed still. @type {Record<string, string>} */
const OPEN = {
  "left-at-source": "not all of it is in R2",
  "not-verified": "copies are missing or wrong",
  "references-left": "texts hold its URLs",
  "read-through": "readers fetch from it",
  "run-in-progress": "a run is moving it",
};

/** @param {unknown} from @param {unknown} until */
function period(from, until) {
  return typeof until === "string" ? `looked at from ${printable(from)} until ${printable(until)}` : "not looked at to its end";
}

/** @type {Record<string, string>} */
const ENDINGS = {
  failed: "failed before its end",
  cancelled: "was cancelled",
  paused: "is paused; the same command goes on with it",
  running: "goes on",
};

/**
 * @param {Run} run
 * @param {Record<string, any>} result
 */
function costs({ dryRun }, { operations, estimatedCostUsd, links }) {
  const lines = [];
  if (links) {
    const { expired = 0, willExpire = 0, requests = 0, seconds = 0 } = links;
    lines.push(
      `Links: ${count(expired)} had expired at the start, ${count(willExpire)} expire before their turn;` +
        ` ${counted(requests, "request")}, about ${duration(seconds)}.`,
    );
  }
  if (operations) {
    const { r2ClassA = 0, r2ClassB = 0, d1RowsRead = 0, d1RowsWritten = 0 } = operations;
    lines.push(
      `Operations${dryRun ? " it would take" : ""}: R2 class A ${count(r2ClassA)}, class B ${count(r2ClassB)};` +
        ` D1 rows read ${count(d1RowsRead)}, written ${count(d1RowsWritten)}.`,
    );
  }
  if (typeof estimatedCostUsd === "number") lines.push(`Estimated cost: ${dollars(estimatedCostUsd)}.`);
  return lines;
}

/**
 * Each as `id: reason (detail)`.
 * @param {Record<string, any>} result
 */
function failuresOf(result) {
  const found = ["missing", "corrupted", "orphaned"].flatMap((kind) =>
    listOf(result[kind]).map((item) => (typeof item === "object" ? { reason: kind, ...item } : { id: item, reason: kind })),
  );
  return [...listOf(result.errors), ...found].map(textOf);
}

/** @param {any} item */
function textOf(item) {
  if (typeof item !== "object" || item === null) return printable(item);
  const { id = item.key, reason, detail } = item;
  if (id === undefined && reason === undefined) return printable(JSON.stringify(item));
  return printable(`${[id, reason].filter((part) => part !== undefined).join(": ")}${detail ? ` (${detail})` : ""}`);
}

/** @param {unknown} value @returns {any[]} */
function listOf(value) {
  return Array.isArray(value) ? value : [];
}

/**
 * Where images are, for `status`.
 * @param {any} overview
 */
export function overviewLines({ migrationStats = {}, r2Status, sources }) {
  const { failedImages = 0, migrationProgress, missingSources } = migrationStats;
  const missing = listOf(missingSources).map(textOf);
  const percent = typeof migrationProgress === "number" ? `, ${migrationProgress} % migrated` : "";
  const lines = [
    `${whereabouts(migrationStats)}${failedImages > 0 ? `, ${count(failedImages)} failed` : ""}${percent}` +
      `${missing.length > 0 ? `, without ${missing.join(", ")}` : ""}.`,
  ];
  const bySource = listOf(migrationStats.sources);
  for (const source of bySource) if (bySource.length > 1 || isMissing(source)) lines.push(`  ${sourceLine(source)}`);
  lines.push(`R2: ${printable(r2Status ?? "unknown")}.`);
  const names = listOf(sources).map((source) => textOf(source?.name ?? source));
  if (names.length > 0) lines.push(`Sources: ${names.join(", ")}.`);
  return lines;
}

/** @param {any} numbers */
function whereabouts({ totalImages = 0, migratedImages = 0, base64Images = 0, estimatedSpaceSaved = 0 }) {
  const total = counted(totalImages, "image");
  return `${total}: ${count(migratedImages)} in R2, ${count(base64Images)} in the database (${bytes(estimatedSpaceSaved)})`;
}

/** @param {any} source */
function isMissing({ state }) {
  return state === "counting" || state === "unavailable";
}

/** @param {any} source */
function sourceLine(source) {
  const { name, state, countedAt, problem } = source;
  if (state === "counting") return printable(`${name}: is being counted`);
  if (state === "unavailable") return printable(`${name}: ${problem?.code ?? "unavailable"}: ${problem?.detail ?? ""}`);
  const kept = state === "kept" ? `, counted at ${countedAt}` : "";
  return printable(`${name}: ${whereabouts(source)}${kept}`);
}

/**
 * One line that names a run.
 * @param {Run} run
 */
export function title({ id, action, source, dryRun, state }) {
  return printable(`Run ${id}: ${action}${dryRun ? " (dry run)" : ""} of ${source}, ${state.replaceAll("_", " ")}`);
}
