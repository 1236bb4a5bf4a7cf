// What a process took of the machine, where /proc tells (Linux).
import { readFileSync, writeFileSync } from "node:fs";

/** `sysconf(_SC_CLK_TCK)`, which is 100 on every Linux that Node runs on. */
const TICK_MS = 10;

/** Milliseconds of processor time that the processes took so far. */
export function cpuMsOf(pids: number[]): number | undefined {
  let ticks = 0;
  for (const pid of pids) {
    // Fields 14 and 15, counted behind the program's name, which may hold spaces.
    const fields = read(pid, "stat")?.split(") ").at(-1)?.split(" ");
    if (fields === undefined) return undefined;
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_MS;
}

/** The most memory that the processes held at once, each since it started or since `resetPeak`. */
export function peakResidentBytesOf(pids: number[]): number | undefined {
  let bytes = 0;
  for (const pid of pids) {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(read(pid, "status") ?? "")?.[1];
    if (kilobytes === undefined) return undefined;
    bytes += Number(kilobytes) * 1024;
  }
  return bytes;
}

export function resetPeak(pids: number[]): void {
  for (const pid of pids) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
    } catch {
      return;
    }
  }
}

function read(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}
