// The D1 binding: statements in, rows out, one call a transaction.

/**
 * Runs the statements in one transaction.
 *
 * A line an answer, in the order of the statements: `changes rows json`, with the rows as a JSON array, which never
 * holds a line break; or `! message` when a column apart does not hold what it should. Its values go into `handlesOut`, an
 * entry a row.
 * @param {D1Database} database
 * @param {string} statementsJson `[[sql, params, columnApart | null], ...]`; a parameter `{handle: n}` is `handlesIn[n]`, a
 *   text as it is or bytes in base64
 * @param {(Uint8Array | string)[]} handlesIn
 * @param {(Uint8Array | string | null)[]} handlesOut
 */
export async function batch(database, statementsJson, handlesIn, handlesOut) {
  /** @type {[sql: string, params: (null | number | string | { handle: number })[], columnApart: ColumnApart | null][]} */
  const statements = JSON.parse(statementsJson);
  const prepared = statements.map(([sql, params]) =>
    database.prepare(sql).bind(...params.map((param) => bound(param, handlesIn))),
  );
  const [only] = prepared;
  /** @type {D1Result<Record<string, unknown>>[]} */
  const results = prepared.length === 1 && only !== undefined ? [await only.all()] : await database.batch(prepared);
  return results.map((result, index) => answerOf(result, statements[index]?.[2] ?? null, handlesOut)).join("\n");
}

/** @typedef {[name: string, kind: "bytes" | "text"]} ColumnApart */

/**
 * @param {null | number | string | { handle: number }} param
 * @param {(Uint8Array | string)[]} handlesIn
 */
function bound(param, handlesIn) {
  if (typeof param !== "object" || param === null) return param;
  const handle = handlesIn[param.handle];
  return typeof handle === "string" ? handle : handle?.toBase64();
}

/**
 * @param {D1Result<Record<string, unknown>>} result
 * @param {ColumnApart | null} columnApart
 * @param {(Uint8Array | string | null)[]} handlesOut
 */
function answerOf(result, columnApart, handlesOut) {
  if (!result.success) throw new Error(result.error);
  const rows = result.results;
  if (columnApart !== null) {
    const [name, kind] = columnApart;
    for (const row of rows) {
      const value = row[name];
      // JSON leaves it out, as if it were deleted, which would make the object a slow one.
      row[name] = undefined;
      try {
        if (value !== null && typeof value !== "string") throw new TypeError(`${typeof value} where text should be`);
        handlesOut.push(value === null || kind === "text" ? value : Uint8Array.fromBase64(value));
      } catch (error) {
        return `! ${name}: ${error}`;
      }
    }
  }
  return `${result.meta.changes ?? 0} ${rows.length} ${JSON.stringify(rows)}`;
}
