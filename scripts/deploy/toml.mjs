// Edits a TOML file in place, since writing it anew would lose its comments.
import { isDeepStrictEqual } from "node:util";
import { parse } from "smol-toml";

/**
 * @typedef {object} DatabaseEntry
 * @property {string} binding
 * @property {string} [database_name]
 * @property {string} [database_id]
 * @property {string} [preview_database_id]
 * @property {string} [jurisdiction]
 * @property {string} [migrations_dir]
 */

const ID_LINE = /^(\s*database_id\s*=\s*)(?:"[^"]*"|'[^']*')(.*)$/s;
/** Wrangler finds a local database by this key, else by `database_id`, else by the binding. */
const LOCAL_KEY = "preview_database_id";

/**
 * The text with another `database_id`. Where the entry does not say how the local database is called, it says so
 * from now on, so that `npm start` finds what it stored under the former id.
 * @param {string} text
 * @param {string | undefined} environment the [env.X] of the entry; undefined: the top level
 * @param {string} binding
 * @param {string} id
 * @returns {string | undefined} undefined when the entry is not a [[d1_databases]] table with a line for each key
 */
export function withDatabaseId(text, environment, binding, id) {
  const expected = parse(text);
  const entries = databases(expected, environment);
  const index = entries.findIndex((entry) => entry.binding === binding);
  const entry = entries[index];
  if (entry === undefined) return undefined;
  const localKey = entry[LOCAL_KEY] === undefined ? entry.database_id || binding : undefined;
  entry.database_id = id;
  if (localKey !== undefined) entry[LOCAL_KEY] = localKey;

  const path = environment === undefined ? ["d1_databases"] : ["env", environment, "d1_databases"];
  const lines = text.split("\n");
  const header = headersOf(lines, path)[index];
  if (header === undefined) return undefined;
  const lineEnd = lines[header]?.endsWith("\r") ? "\r" : "";
  const idLine = lines.findIndex((line, at) => at > header && (ID_LINE.test(line) || isHeader(line)));
  const found = ID_LINE.exec(lines[idLine] ?? "");
  const replacement = found === null ? [`database_id = "${id}"${lineEnd}`] : [`${found[1]}"${id}"${found[2]}`];
  if (localKey !== undefined) replacement.push(`${LOCAL_KEY} = ${JSON.stringify(localKey)}${lineEnd}`);
  lines.splice(found === null ? header + 1 : idLine, found === null ? 0 : 1, ...replacement);

  const edited = lines.join("\n");
  return isEqualToml(edited, expected) ? edited : undefined;
}

/**
 * @param {unknown} config
 * @param {string | undefined} environment
 * @returns {DatabaseEntry[]}
 */
function databases(config, environment) {
  /** @typedef {{ d1_databases?: DatabaseEntry[] }} Section */
  const { env = {}, ...top } = /** @type {Section & { env?: Record<string, Section> }} */ (config);
  return (environment === undefined ? top : env[environment])?.d1_databases ?? [];
}

/**
 * The numbers of the lines that begin an element of the array of tables at `path`.
 * @param {string[]} lines
 * @param {string[]} path
 */
function headersOf(lines, path) {
  const header = JSON.stringify(path.reduceRight((inner, key) => ({ [key]: inner }), /** @type {unknown} */ ([{}])));
  return lines.flatMap((line, at) => (isHeader(line) && JSON.stringify(parseLine(line)) === header ? [at] : []));
}

/** @param {string} line */
function isHeader(line) {
  return /^\s*\[/.test(line);
}

/** @param {string} line */
function parseLine(line) {
  try {
    return parse(line.trimEnd());
  } catch {
    return undefined;
  }
}

/**
 * @param {string} text
 * @param {unknown} expected
 */
function isEqualToml(text, expected) {
  try {
    return isDeepStrictEqual(parse(text), expected);
  } catch {
    return false;
  }
}
