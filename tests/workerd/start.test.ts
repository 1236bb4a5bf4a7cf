// `npm start` as a person runs it: from arguments to a served request, and to nothing left behind.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";

import { wranglerArguments } from "../../scripts/start.mjs";
import { npmStart } from "./npm-start.ts";

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  test(`serves without a token on the port and state given, and leaves nothing behind on ${signal}`, async (t) => {
    const { url, directory, npm, output } = await npmStart(t);
    assert.match(output, /env\.ALLOW_UNAUTHENTICATED /);
    const response = await fetch(`${url}/`);
    assert.ok(response.status < 500, `status ${response.status}`);
    await response.body?.cancel();
    assert.notDeepEqual(await readdir(directory), []);

    const descendants = descendantsOf(npm.pid);
    assert.ok(descendants.some(({ command }) => command.includes("workerd")), "no workerd among the processes");
    npm.kill(signal);
    while (descendants.some(isRunning)) await setTimeout(50);
  });
}

describe("the arguments given to wrangler", () => {
  const option = (args: string[], name: string) => args.flatMap((arg, i) => (arg === name ? [args[i + 1]] : []));

  test("open the token's routes and use port 8787 by default", () => {
    const { dev, migrations } = wranglerArguments([]);
    assert.deepEqual(option(dev, "--port"), ["8787"]);
    assert.deepEqual(option(dev, "--var"), ["ALLOW_UNAUTHENTICATED:true"]);
    assert.deepEqual(option(migrations, "--persist-to"), []);
  });

  test("are passed through, and migrations go to the same state", () => {
    const args = ["--port=8790", "--persist-to", "state", "--var", "ENABLE_R2_STORAGE:false", "--ip", "127.0.0.1"];
    const { dev, migrations } = wranglerArguments(args);
    assert.deepEqual(dev.slice(-args.length), args);
    assert.deepEqual(option(dev, "--port"), []);
    assert.deepEqual(option(dev, "--var"), ["ALLOW_UNAUTHENTICATED:true", "ENABLE_R2_STORAGE:false"]);
    assert.deepEqual(option(migrations, "--persist-to"), ["state"]);
  });

  test("can close the token's routes", () => {
    const { dev } = wranglerArguments(["--var", "ALLOW_UNAUTHENTICATED:false"]);
    assert.deepEqual(option(dev, "--var"), ["ALLOW_UNAUTHENTICATED:false"]);
  });
});

type Process = { pid: number; parentPid: number; command: string };

function descendantsOf(rootPid: number | undefined): Process[] {
  const table = execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" });
  const processes = table.split("\n").flatMap((line): Process[] => {
    const [, pid, parentPid, command = ""] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return pid === undefined ? [] : [{ pid: Number(pid), parentPid: Number(parentPid), command }];
  });
  const childrenOf = (parentPid: number | undefined): Process[] =>
    processes.filter((one) => one.parentPid === parentPid).flatMap((one) => [one, ...childrenOf(one.pid)]);
  return childrenOf(rootPid);
}

/** False too for one that ended and that nobody has asked about yet. */
function isRunning({ pid }: Process): boolean {
  const { stdout } = spawnSync("ps", ["-o", "stat=", "-p", `${pid}`], { encoding: "utf8" });
  return stdout !== "" && !stdout.startsWith("Z");
}
