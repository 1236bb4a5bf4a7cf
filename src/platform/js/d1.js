// The D1 binding: statements in, rows out, one call a transaction.

/**
 * Runs the statements in one transaction.
 *
 * A line an answer, in the order of the statements: `changes bytes read written rows json`, with what the database takes, the rows that were
 * read and written, and the rows of the answer as a JSON array, which never holds a line break; or `! message` when a column apart does not hold what it should. Its values go into `handlesOut`, an
 * entry a row.
 * @param {D1Database} database
 * @param {string} statements four fields each, with a NUL between any two: SQL, parameters as JSON, and a column apart with its kind
 *   or two empty fields. A parameter `{handle: n}` is `handlesIn[n]`, a text as it is or bytes in base64
 * @param {(Uint8Array | string)[]} handlesIn
 * @param {(Uint8Array | string | null)[]} handlesOut
 */
export async function batch(database, statements, handlesIn, handlesOut) {
  const fields = statements.split("\0");
  const prepared = [];
  for (let field = 0; field < fields.length; field += 4) {
    /** @type {Param[]} */
    const params = JSON.parse(fields[field + 1] ?? "");
    prepared.push(database.prepare(fields[field] ?? "").bind(...params.map((param) => bound(param, handlesIn))));
  }
  const [only] = prepared;
  /** @type {D1Result<Record<string, unknown>>[]} */
  const results = prepared.length === 1 && only !== undefined ? [await only.all()] : await database.batch(prepared);
  return results
    .map((result, index) => answerOf(result, fields[index * 4 + 2] ?? "", fields[index * 4 + 3] ?? "", handlesOut))
    .join("\n");
}

/** @typedef {null | number | string | { handle: number }} Param */

/**
 * @param {Param} param
 * @param {(Uint8Array | string)[]} handlesIn
 */
function bound(param, handlesIn) {
  if (typeof param !== "object" || param === null) return param;
  const handle = handlesIn[param.handle];
  return typeof handle === "string" ? handle : handle?.toBase64();
}

/**
 * @param {D1Result<Record<string, unknown>>} result
 * @param {string} columnApart empty when there is none
 * @param {string} kind `bytes` or `text`
 * @param {(Uint8Array | string | null)[]} handlesOut
 */
function answerOf(result, columnApart, kind, handlesOut) {
  if (!result.success) throw new Error(result.error);
  const rows = result.results;
  if (columnApart !== "") {
    for (const row of rows) {
      const value = row[columnApart];
      // JSON leaves it out, as if it were deleted, which would make the object a slow one.
      row[columnApart] = undefined;
      try {
        if (value !== null && typeof value !== "string") throw new TypeError(`${typeof value} where text should be`);
        handlesOut.push(value === null || kind === "text" ? value : Uint8Array.fromBase64(value));
      } catch (error) {
        return `! ${columnApart}: ${error}`;
      }
    }
  }
  const { changes = 0, size_after: bytes = 0, rows_read: read = 0, rows_written: written = 0 } = result.meta;
  return `${changes} ${bytes} ${read} ${written} ${rows.length} ${JSON.stringify(rows)}`;
}
