// Goes through the whole bucket, slice by slice, and makes one report of it.
import { writeFile } from "node:fs/promises";

import { Failure } from "../command.mjs";
import { printable } from "./client.mjs";
import { bytes, count, counted } from "./units.mjs";

/** Lines of each list that are shown; the report has all of them. */
const SHOWN = 20;

/**
 * @typedef {{ key: string, bytes: number, storedAt: string, outcome: string, imageId: string | null, reason: string | null }} Orphan
 * @typedef {{ id: string, key: string, bytes: number }} Missing
 * @typedef {{ action: string, objects: number, rows: number, foreignObjects: number, foreignBytes: number, orphans: Orphan[], missing: Missing[] }} Report
 * @typedef {import("./options.mjs").ReconcileOptions} ReconcileOptions
 */

/**
 * @param {import("./client.mjs").Client} client
 * @param {ReconcileOptions} options
 * @param {(line: string) => void} say
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} whether nothing is missing, and all was done that was asked for
 */
export async function reconcile(client, { request, report: file }, say, signal) {
  /** @type {Report} */
  const report = { action: request.action, objects: 0, rows: 0, foreignObjects: 0, foreignBytes: 0, orphans: [], missing: [] };
  let cursor = null;
  do {
    const slice = await client.reconcile({ ...request, cursor }, signal);
    for (const field of /** @type {const} */ (["objects", "rows", "foreignObjects", "foreignBytes"])) report[field] += slice[field];
    report.orphans.push(...slice.orphans);
    report.missing.push(...slice.missing);
    cursor = slice.cursor;
    if (cursor !== null) say(`${counted(report.objects, "object")} looked at, up to ${printable(cursor)}`);
  } while (cursor !== null);
  for (const line of reportLines(report)) say(line);
  if (file !== undefined) {
    try {
      await writeFile(file, `${JSON.stringify(report, undefined, 2)}\n`);
    } catch (error) {
      throw new Failure(`The report could not be written: ${error instanceof Error ? error.message : String(error)}`);
    }
    say(`The report is in ${file}.`);
  }
  return report.missing.length === 0 && !report.orphans.some(({ outcome }) => outcome === "kept");
}

/**
 * @param {Report} report
 * @returns {string[]} lines
 */
function reportLines({ action, objects, rows, foreignObjects, foreignBytes, orphans, missing }) {
  const lines = [`${counted(objects, "object")} of the bucket and ${counted(rows, "row")} looked at.`];
  if (foreignObjects > 0) {
    lines.push(`${counted(foreignObjects, "object")} of others, ${bytes(foreignBytes)}: no row names them and their keys are none of Stillstore's. They are left alone.`);
  }
  const size = bytes(orphans.reduce((sum, orphan) => sum + orphan.bytes, 0));
  lines.push(`${counted(orphans.length, "object")} without a row, ${orphans.length === 0 ? "0 bytes" : size}${orphans.length === 0 ? "." : ":"}`);
  lines.push(...shown(orphans, ({ key, bytes: size, outcome, imageId, reason }) => {
    const detail = imageId ?? reason;
    return `  ${outcome}${detail === null ? "" : ` (${printable(detail)})`}: ${printable(key)}, ${bytes(size)}`;
  }));
  lines.push(`${counted(missing.length, "row")} without an object${missing.length === 0 ? "." : ":"}`);
  lines.push(...shown(missing, ({ id, key }) => `  ${printable(id)}: ${printable(key)}`));
  if (action === "report" && orphans.length > 0) lines.push("Nothing was changed. --adopt makes images of the objects, --remove deletes them.");
  return lines;
}

/**
 * @template T
 * @param {T[]} list
 * @param {(entry: T) => string} line
 */
function shown(list, line) {
  const rest = list.length - SHOWN;
  return [...list.slice(0, SHOWN).map(line), ...(rest > 0 ? [`  and ${count(rest)} more; --report FILE writes all of them`] : [])];
}
