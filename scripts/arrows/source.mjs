// What a Rust source names of other modules. It reads the forms that rustfmt writes, and no macro's inside.

/**
 * One name that a `use` brings into a module.
 * @typedef {object} Import
 * @property {string[]} path as written, with `*` last for a glob
 * @property {string} name what it is called here
 * @property {boolean} isReexport whether it carries a visibility
 */

/**
 * @typedef {object} Source
 * @property {Import[]} imports
 * @property {string[][]} paths those written out in the code
 * @property {Set<string>} names every identifier of the code, without `use` and `mod` items
 * @property {string[]} children modules in files of their own, without those of tests
 */

const TEST_ATTRIBUTE = /#\[cfg\(test\)\]/;
const VISIBILITY = String.raw`(?<visibility>pub(?:\([^)]*\))?\s+)?`;
const USE = new RegExp(String.raw`^[ \t]*${VISIBILITY}use\s+(?<tree>[^;]+);`, "gm");
const CHILD = new RegExp(String.raw`^${VISIBILITY}mod\s+(?<name>\w+);`, "gm");
const PATH = /(?<![\w:$])[a-z_]\w*(?:::\w+)+/g;

/**
 * @param {string} rust
 * @returns {Source}
 */
export function parseSource(rust) {
  const code = withoutTests(withoutText(rust));
  const imports = [...code.matchAll(USE)].flatMap(({ groups }) =>
    branches(groups?.tree ?? "").map(({ path, name }) => ({ path, name, isReexport: groups?.visibility !== undefined })),
  );
  const body = code.replaceAll(USE, "").replaceAll(CHILD, "");
  return {
    imports,
    paths: [...new Set(body.match(PATH))].map((path) => path.split("::")),
    names: new Set(body.match(/\w+/g)),
    children: [...code.matchAll(CHILD)].map(({ groups }) => groups?.name ?? ""),
  };
}

/**
 * The code without comments, and with every string and character empty.
 * @param {string} rust
 */
function withoutText(rust) {
  const text = /\/\/[^\n]*|\/\*[^]*?\*\/|\bb?r(?<hashes>#*)"[^]*?"\k<hashes>|b?"(?:\\[^]|[^"\\])*"|b?'(?:\\[^]+?|[^'\\])'/g;
  return rust.replaceAll(text, (found) => (found.startsWith("/") ? "" : '""'));
}

/**
 * The code without the items that only tests have.
 * @param {string} code
 */
function withoutTests(code) {
  let rest = code;
  for (let start = rest.search(TEST_ATTRIBUTE); start >= 0; start = rest.search(TEST_ATTRIBUTE)) {
    rest = rest.slice(0, start) + rest.slice(endOfItem(rest, start));
  }
  return rest;
}

/**
 * Where the item at `start`, with its attributes, ends: after its block, or after its semicolon.
 * @param {string} code
 * @param {number} start
 */
function endOfItem(code, start) {
  let depth = 0;
  for (let position = start; position < code.length; position += 1) {
    const character = code[position] ?? "";
    if ("([{".includes(character)) depth += 1;
    if (")]}".includes(character)) depth -= 1;
    if (depth < 0) return position;
    if (depth === 0 && (character === ";" || character === "}" || character === ",")) return position + 1;
  }
  return code.length;
}

/**
 * The paths of a tree such as `crate::a::{b, c::{self, D as E}}`.
 * @param {string} tree
 * @returns {{ path: string[], name: string }[]}
 */
function branches(tree) {
  const trimmed = tree.trim();
  const brace = trimmed.indexOf("{");
  if (brace < 0) {
    const [written = "", alias] = trimmed.split(/\s+as\s+/);
    const path = written.split("::").filter((segment) => segment !== "");
    if (path.length > 1 && path.at(-1) === "self") path.pop();
    return trimmed === "" ? [] : [{ path, name: alias ?? path.at(-1) ?? "" }];
  }
  const prefix = trimmed.slice(0, brace);
  return splitTopLevel(trimmed.slice(brace + 1, trimmed.lastIndexOf("}"))).flatMap((part) => branches(prefix + part));
}

/**
 * The parts between the commas that are in no braces.
 * @param {string} list
 */
function splitTopLevel(list) {
  const parts = [""];
  let depth = 0;
  for (const character of list) {
    if (character === "{") depth += 1;
    if (character === "}") depth -= 1;
    if (character === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += character;
  }
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}
