// Which files of a crate know which, and where they know each other in a circle.
import { parseSource } from "./source.mjs";

/** @typedef {import("./source.mjs").Source} Source */

/** @typedef {{ file: string, source: Source }} Module its name is its path below the crate, as `generate::openai` */

/**
 * Each file with the files that it uses.
 * @param {Map<string, string>} files Rust sources by their paths below `src/`
 * @returns {Map<string, Set<string>>}
 */
export function arrowsOf(files) {
  const modules = modulesOf(files);
  /** @type {Map<string, Set<string>>} */
  const arrows = new Map();
  for (const [name, { file, source }] of modules) {
    // A module that only passes a name on does not use it.
    const used = source.imports.filter((item) => !item.isReexport || source.names.has(item.name));
    const paths = [...used.map(({ path }) => path), ...source.paths];
    const targets = paths.flatMap((path) => {
      const target = fileOf(modules, name, path);
      return target === undefined || target === file ? [] : [target];
    });
    arrows.set(file, new Set(targets));
  }
  return arrows;
}

/**
 * The groups of files that reach each other (Tarjan's strongly connected components of more than one file).
 * @param {Map<string, Set<string>>} arrows
 */
export function circlesOf(arrows) {
  /** @type {Map<string, { order: number, lowest: number, isOpen: boolean }>} */
  const visits = new Map();
  /** @type {string[]} */
  const open = [];
  /** @type {string[][]} */
  const circles = [];
  /** @param {string} file */
  const visit = (file) => {
    const visited = { order: visits.size, lowest: visits.size, isOpen: true };
    visits.set(file, visited);
    open.push(file);
    for (const target of arrows.get(file) ?? []) {
      const other = visits.get(target) ?? visit(target);
      if (other.isOpen) visited.lowest = Math.min(visited.lowest, other.lowest);
    }
    if (visited.lowest === visited.order) {
      const group = open.splice(open.indexOf(file));
      for (const member of group) Object.assign(visits.get(member) ?? {}, { isOpen: false });
      if (group.length > 1) circles.push(group.sort());
    }
    return visited;
  };
  for (const file of arrows.keys()) if (!visits.has(file)) visit(file);
  return circles;
}

/**
 * @param {Map<string, string>} files
 * @returns {Map<string, Module>} without the files that only tests include
 */
function modulesOf(files) {
  /** @type {Map<string, Module>} */
  const modules = new Map();
  /** @param {string} name @param {string} file */
  const add = (name, file) => {
    const source = parseSource(files.get(file) ?? "");
    modules.set(name, { file, source });
    const folder = name === "" ? "" : `${name.replaceAll("::", "/")}/`;
    for (const child of source.children) {
      const file = [`${folder}${child}.rs`, `${folder}${child}/mod.rs`].find((path) => files.has(path));
      if (file !== undefined) add(join(name, child), file);
    }
  };
  add("", "lib.rs");
  return modules;
}

/**
 * The file that declares what `path` means in the module `from`, unless that is another crate's.
 * @param {Map<string, Module>} modules
 * @param {string} from
 * @param {string[]} path
 * @param {number} [followed] re-exports on the way, of which a circle would have no end
 * @returns {string | undefined}
 */
function fileOf(modules, from, path, followed = 0) {
  let [name, rest] = start(modules, from, path);
  if (name === undefined) return undefined;
  while (rest[0] !== undefined && modules.has(join(name, rest[0]))) {
    name = join(name, rest[0]);
    rest = rest.slice(1);
  }
  const module = modules.get(name);
  const item = module?.source.imports.find((candidate) => candidate.name === rest[0]);
  if (item === undefined || followed > 8) return module?.file;
  return fileOf(modules, name, [...item.path, ...rest.slice(1)], followed + 1) ?? module?.file;
}

/**
 * The module where `path` starts, and what of the path is below it.
 * @param {Map<string, Module>} modules
 * @param {string} from
 * @param {string[]} path
 * @returns {[string | undefined, string[]]}
 */
function start(modules, from, path) {
  const [first = "", ...rest] = path;
  if (first === "crate") return ["", rest];
  if (first === "self") return [from, rest];
  if (modules.has(join(from, first))) return [from, path];
  if (first !== "super") return [undefined, path];
  let name = parentOf(from);
  while (rest[0] === "super") {
    name = parentOf(name);
    rest.shift();
  }
  return [name, rest];
}

/** @param {string} name */
function parentOf(name) {
  return name.split("::").slice(0, -1).join("::");
}

/** @param {string} name @param {string} child */
function join(name, child) {
  return name === "" ? child : `${name}::${child}`;
}
