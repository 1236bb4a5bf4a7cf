// The D1 binding: statements in, rows out, one call a transaction.

/**
 * Runs the statements in one transaction.
 *
 * A line an answer, in the order of the statements: `changes rows json`, with the rows as a JSON array, which never
 * holds a line break; or `! message` when a bytes column does not hold base64. The bytes go into `bytesOut`, an entry a
 * row.
 * @param {D1Database} database
 * @param {string} statementsJson `[[sql, params, bytesColumn | null], ...]`; a parameter `{bytes: n}` is `bytesIn[n]` in
 *   base64
 * @param {Uint8Array[]} bytesIn
 * @param {(Uint8Array | null)[]} bytesOut
 */
export async function batch(database, statementsJson, bytesIn, bytesOut) {
  /** @type {[sql: string, params: (null | number | string | { bytes: number })[], bytesColumn: string | null][]} */
  const statements = JSON.parse(statementsJson);
  const prepared = statements.map(([sql, params]) =>
    database.prepare(sql).bind(...params.map((param) => bound(param, bytesIn))),
  );
  const [only] = prepared;
  /** @type {D1Result<Record<string, unknown>>[]} */
  const results = prepared.length === 1 && only !== undefined ? [await only.all()] : await database.batch(prepared);
  return results.map((result, index) => answerOf(result, statements[index]?.[2] ?? null, bytesOut)).join("\n");
}

/**
 * @param {null | number | string | { bytes: number }} param
 * @param {Uint8Array[]} bytesIn
 */
function bound(param, bytesIn) {
  return typeof param === "object" && param !== null ? bytesIn[param.bytes]?.toBase64() : param;
}

/**
 * @param {D1Result<Record<string, unknown>>} result
 * @param {string | null} bytesColumn
 * @param {(Uint8Array | null)[]} bytesOut
 */
function answerOf(result, bytesColumn, bytesOut) {
  if (!result.success) throw new Error(result.error);
  const rows = result.results;
  if (bytesColumn !== null) {
    for (const row of rows) {
      const text = row[bytesColumn];
      delete row[bytesColumn];
      try {
        bytesOut.push(text === null ? null : Uint8Array.fromBase64(/** @type {string} */ (text)));
      } catch (error) {
        return `! ${bytesColumn}: ${error}`;
      }
    }
  }
  return `${result.meta.changes ?? 0} ${rows.length} ${JSON.stringify(rows)}`;
}
