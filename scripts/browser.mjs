// Finds a Chromium for the tests of pages and, as root on Debian, installs the package when there is none.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

import { Failure, outputOf, runWithProgress } from "./command.mjs";

/** What Debian, Ubuntu, Fedora, Google and macOS call it. */
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
const ELSEWHERE = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const PACKAGE = "chromium";

/**
 * Makes sure that there is a browser. Takes no time when there is.
 * @returns {Promise<string>} its program
 */
export async function setupBrowser() {
  const present = findBrowser();
  if (present !== undefined) return present;
  if (process.getuid?.() !== 0 || outputOf("apt-get", ["--version"]) === undefined) {
    throw new Failure(
      "The tests of pages need Chromium, which was not found.\n" +
        "Install it (Debian: `apt-get install chromium`), or name a program in STILLSTORE_CHROMIUM, and try again.",
    );
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await runWithProgress("Reading the lists of packages", "apt-get", ["update", "-q"], { env });
  const install = ["install", "-q", "-y", "--no-install-recommends", PACKAGE];
  await runWithProgress(`Installing the package ${PACKAGE}, once`, "apt-get", install, { env, step: /^(Unpacking \S+|Setting up \S+)/ });
  const installed = findBrowser();
  if (installed === undefined) throw new Failure(`The package ${PACKAGE} brought no program of that name.`);
  return installed;
}

/** The program of a Chromium: the one that STILLSTORE_CHROMIUM names, else one on the PATH or in a usual place. */
export function findBrowser() {
  const named = process.env.STILLSTORE_CHROMIUM;
  if (named) return named;
  const onPath = (process.env.PATH ?? "").split(delimiter).flatMap((directory) => NAMES.map((name) => join(directory, name)));
  return [...onPath, ...ELSEWHERE].find(isProgram);
}

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
