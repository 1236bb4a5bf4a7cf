// What a process took of the machine, where /proc tells (Linux).
import { readFileSync, readdirSync } from "node:fs";

/** Milliseconds of processor time that the processes' threads took so far, exact to the microsecond. */
export function cpuMsOf(pids: number[]): number | undefined {
  let nanoseconds = 0;
  for (const pid of pids) {
    for (const thread of threadsOf(pid)) {
      const [running] = read(`${pid}/task/${thread}`, "schedstat")?.split(" ") ?? [];
      if (running === undefined) return undefined;
      nanoseconds += Number(running);
    }
  }
  return nanoseconds === 0 ? undefined : nanoseconds / 1e6;
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** The most memory that the processes held at once, each since it started. */
export function peakResidentBytesOf(pids: number[]): number | undefined {
  return statusBytesOf(pids, /^VmHWM:\s+(\d+) kB$/m);
}

/** The memory that the processes hold now. */
export function residentBytesOf(pids: number[]): number | undefined {
  return statusBytesOf(pids, /^VmRSS:\s+(\d+) kB$/m);
}

function statusBytesOf(pids: number[], line: RegExp): number | undefined {
  let bytes = 0;
  for (const pid of pids) {
    const kilobytes = line.exec(read(pid, "status") ?? "")?.[1];
    if (kilobytes === undefined) return undefined;
    bytes += Number(kilobytes) * 1024;
  }
  return bytes;
}

function read(pid: number | string, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}
