// What the client can ask for at most: a server that answers without looking. Rates near it would say more of the client.
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

import type { LoadClient } from "./load.ts";

export type Ceiling = { bytes: number; connections: number; rate: number };

const BODY_BYTES = [5, 100_000];

export async function measureCeiling(load: LoadClient, quick: boolean): Promise<Ceiling[]> {
  const ceilings: Ceiling[] = [];
  for (const bytes of BODY_BYTES) {
    const server = fork(import.meta.filename, [String(bytes)], { execArgv: ["--disable-warning=ExperimentalWarning"] });
    const [port] = await once(server, "message");
    for (const connections of [1, 32]) {
      const plan = { url: `http://127.0.0.1:${port}/`, connections, status: 200, bytes };
      await load.load({ ...plan, seconds: 0.3 });
      const { requests, seconds } = await load.load({ ...plan, seconds: quick ? 0.5 : 2 });
      ceilings.push({ bytes, connections, rate: requests / seconds });
    }
    server.kill();
  }
  return ceilings;
}

/** Answers each piece of data that arrives: a request without a body comes in one. */
function answerBlindly(bytes: number): void {
  const answer = Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${bytes}\r\n\r\n`), Buffer.alloc(bytes)]);
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on("data", () => socket.write(answer));
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
}

if (process.argv[1] === import.meta.filename) answerBlindly(Number(process.argv[2]));
