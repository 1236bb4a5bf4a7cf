// Runs other programs. Node 20 built-ins only: this runs before anything is installed.
import { spawn, spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A failure whose message already says all a person needs: it is printed without a stack. */
export class Failure extends Error {}

/** How long a program may take to end after a signal before its whole process group is killed. */
const STOP_GRACE_MS = 5_000;
const STOP_SIGNALS = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);
const NPM_WATCH_MS = 500;
const TTY_REFRESH_MS = 1_000;
const LOG_REFRESH_MS = 15_000;
const CLEAR_LINE = "\r\x1b[2K";

/**
 * @typedef {{ env?: NodeJS.ProcessEnv, cwd?: string }} CommandOptions
 */

/**
 * Runs a command on this terminal.
 * @param {string} command
 * @param {string[]} args
 * @param {CommandOptions} [options]
 * @returns {Promise<number>} its exit code; 1 when a signal ended it
 */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: "inherit" });
    child.on("error", (error) => reject(notStarted(command, error)));
    child.on("close", (code) => resolve(code ?? 1));
  });
}

/**
 * Runs a command in a process group of its own, passes signals on to it, and leaves no process of the group behind,
 * also when the npm that started this script is killed.
 * @param {string} command
 * @param {string[]} args
 * @param {CommandOptions} [options]
 * @returns {Promise<{ code: number, stopped: boolean }>} `stopped`: it ended because it was told to
 */
export function runGroup(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "inherit", "inherit"], detached: true });
    let stopping = false;
    /** @param {NodeJS.Signals} signal */
    const stop = (signal) => {
      if (!stopping) setTimeout(() => killGroup(child.pid), STOP_GRACE_MS).unref();
      stopping = true;
      child.kill(signal);
    };
    for (const signal of STOP_SIGNALS) process.on(signal, stop);
    const npmPid = process.ppid;
    const npmWatch = setInterval(() => {
      if (process.env.npm_lifecycle_event !== undefined && process.ppid !== npmPid) stop("SIGTERM");
    }, NPM_WATCH_MS);
    const finish = () => {
      clearInterval(npmWatch);
      for (const signal of STOP_SIGNALS) process.off(signal, stop);
      killGroup(child.pid);
    };
    child.on("error", (error) => {
      finish();
      reject(notStarted(command, error));
    });
    child.on("exit", (code) => {
      finish();
      resolve({ code: code ?? 1, stopped: stopping });
    });
  });
}

/**
 * @param {number | undefined} leaderPid
 */
function killGroup(leaderPid) {
  if (leaderPid === undefined) return;
  try {
    process.kill(-leaderPid, "SIGKILL");
  } catch {
    // The group has no process left.
  }
}

/**
 * The commands of {@link runWithProgress} that go on now.
 * @type {Set<import("node:child_process").ChildProcess>}
 */
const beside = new Set();

/**
 * Runs a command and hides its output, which is shown only when it fails.
 * A line says what is being done, for how many seconds, and what it is at.
 * @param {string} label
 * @param {string} command
 * @param {string[]} args
 * @param {CommandOptions & { step?: RegExp }} [options] `step`: output lines worth showing, its first group the text
 */
export async function runWithProgress(label, command, args, { step, ...options } = {}) {
  const progress = startProgress(label);
  let output = "";
  const code = await new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    beside.add(child);
    /** @param {Buffer} chunk */
    const collect = (chunk) => {
      output += chunk;
      for (const line of chunk.toString().split("\n")) {
        const match = step?.exec(line);
        if (match) progress.step(match[1] ?? line);
      }
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.on("error", (error) => reject(notStarted(command, error)));
    child.on("close", (code) => {
      beside.delete(child);
      resolve(code);
    });
  }).finally(() => progress.stop());
  if (code !== 0) {
    // What goes on beside it is of no use without it.
    for (const child of beside) child.kill();
    throw new Failure(`${output}\n${label}: \`${[command, ...args].join(" ")}\` failed (exit code ${code}).`);
  }
}

/**
 * The trimmed standard output of a command, or undefined when it is missing or fails.
 * @param {string} command
 * @param {string[]} args
 * @param {CommandOptions} [options]
 */
export function outputOf(command, args, options = {}) {
  const result = spawnSync(command, args, { ...options, encoding: "utf8" });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/**
 * Runs a module's main function when the module is the program, not when it is imported.
 * A Failure is printed, any other error keeps its stack, both exit with 1.
 * @param {string} moduleUrl `import.meta.url` of the caller
 * @param {(args: string[]) => Promise<number | void>} main gets the arguments, returns the exit code or nothing for 0
 */
export async function runIfProgram(moduleUrl, main) {
  const program = process.argv[1];
  if (program === undefined || realpathSync(program) !== fileURLToPath(moduleUrl)) return;
  // Whoever reads the output may have enough of it, as `head` has. The status is that of a program that SIGPIPE ended: nobody knows the rest.
  process.stdout.on("error", (error) => {
    if (!("code" in error) || error.code !== "EPIPE") throw error;
    process.exit(141);
  });
  try {
    process.exitCode = (await main(process.argv.slice(2))) ?? 0;
  } catch (error) {
    console.error(error instanceof Failure || isBadArgument(error) ? error.message : error);
    process.exitCode = 1;
  }
}

/**
 * @param {unknown} error
 * @returns {error is Error}
 */
function isBadArgument(error) {
  return error instanceof Error && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
}

/**
 * Work that goes on now, in the order in which it began.
 * @type {Set<{ label: string, startedAtMs: number, step: string }>}
 */
const ongoing = new Set();
/** @type {NodeJS.Timeout | undefined} */
let progressTimer;

/** @param {string} label */
function startProgress(label) {
  const task = { label, startedAtMs: Date.now(), step: "" };
  ongoing.add(task);
  progressTimer ??= setInterval(showProgress, process.stderr.isTTY ? TTY_REFRESH_MS : LOG_REFRESH_MS);
  showProgress();
  return {
    /** @param {string} text */
    step(text) {
      task.step = text;
    },
    stop() {
      ongoing.delete(task);
      process.stderr.write(`${process.stderr.isTTY ? CLEAR_LINE : ""}${task.label}: ${elapsedSeconds(task)} s\n`);
      if (ongoing.size > 0) return showProgress();
      clearInterval(progressTimer);
      progressTimer = undefined;
    },
  };
}

/** One line for all that goes on, which a terminal shows in place of the line before. */
function showProgress() {
  const tasks = [...ongoing].map((task) => `${task.label} (${elapsedSeconds(task)} s)${task.step === "" ? "" : `: ${task.step}`}`);
  const line = tasks.join("; ");
  const isTty = process.stderr.isTTY;
  process.stderr.write(isTty ? `${CLEAR_LINE}${line.slice(0, process.stderr.columns - 1)}` : `${line}\n`);
}

/** @param {{ startedAtMs: number }} task */
function elapsedSeconds({ startedAtMs }) {
  return Math.round((Date.now() - startedAtMs) / 1_000);
}

/**
 * @param {string} command
 * @param {NodeJS.ErrnoException} error
 */
function notStarted(command, error) {
  return error.code === "ENOENT" ? new Failure(`${command} was not found on the PATH.`) : error;
}
