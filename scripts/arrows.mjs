// Whether src/ follows the layers that ARCHITECTURE.md draws: no file uses what is not below it, no files use each other in a circle.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { arrowsOf, circlesOf } from "./arrows/graph.mjs";
import { runIfProgram } from "./command.mjs";
import { projectDir } from "./toolchain.mjs";

/** Findings in here are left out; to be removed once migrate is in layers. */
const UNCHECKED = "migrate/";

/**
 * The layers of the first code block, top to bottom. A line is a layer: names, then its description, two spaces apart.
 * @param {string} markdown
 * @returns {string[][]}
 */
export function layersOf(markdown) {
  const block = markdown.split("```")[1] ?? "";
  const rows = block.split("\n").map((line) => line.split(/ {2,}/).filter((column) => /^[a-z]\w*$/.test(column)));
  return rows.filter((names) => names.length > 0);
}

/**
 * What is wrong, a sentence each.
 * @param {string[][]} layers
 * @param {Map<string, string>} files Rust sources by their paths below `src/`
 */
export function findings(layers, files) {
  const arrows = arrowsOf(files);
  const depths = new Map(layers.flatMap((names, depth) => names.map((name) => [name, depth])));
  const modules = new Set([...arrows.keys()].filter((file) => file !== "lib.rs").map(moduleOf));
  return [
    ...[...modules].filter((name) => !depths.has(name)).map((name) => `${name} is in no layer`),
    ...[...depths.keys()].filter((name) => !modules.has(name)).map((name) => `${name} is a layer without code`),
    ...upward(arrows, depths),
    ...circlesOf(arrows).map((circle) => `${circle.join(", ")} use each other`),
  ];
}

/**
 * @param {Map<string, Set<string>>} arrows
 * @param {Map<string, number>} depths
 */
function upward(arrows, depths) {
  return [...arrows].flatMap(([file, targets]) => {
    const from = moduleOf(file);
    const above = [...new Set([...targets].map(moduleOf))].filter(
      (to) => to !== from && (depths.get(to) ?? Infinity) <= (depths.get(from) ?? -1),
    );
    return above.map((to) => `${file} uses ${to}, which is not below ${from}`);
  });
}

/**
 * The folder or file below `src/` that a file belongs to.
 * @param {string} file
 */
function moduleOf(file) {
  return (file.split("/")[0] ?? "").replace(/\.rs$/, "");
}

/** The findings in this project. */
export function projectFindings() {
  const src = join(projectDir, "src");
  const names = readdirSync(src, { encoding: "utf8", recursive: true }).filter((name) => name.endsWith(".rs"));
  const files = new Map(names.map((name) => [name, readFileSync(join(src, name), "utf8")]));
  const layers = layersOf(readFileSync(join(projectDir, "ARCHITECTURE.md"), "utf8"));
  return findings(layers, files).filter((finding) => !finding.startsWith(UNCHECKED));
}

await runIfProgram(import.meta.url, async () => {
  const found = projectFindings();
  for (const finding of found) console.log(finding);
  return found.length === 0 ? 0 : 1;
});
