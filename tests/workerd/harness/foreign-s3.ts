// S3 servers by others, as programs of this machine that an environment variable names.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { freePort } from "./free-port.ts";

type Bytes = Uint8Array<ArrayBuffer> | string;
export type Credentials = { accessKeyId: string; secretAccessKey: string };

/** A server with the bucket `photos`, which takes unsigned requests until it is locked. */
export abstract class ForeignS3 {
  readonly port: number;
  protected process: ChildProcess | undefined;

  constructor(port: number) {
    this.port = port;
  }

  protected get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** From now on only requests that the answer signs are taken. */
  abstract lock(): Promise<Credentials>;

  async put(key: string, body: Bytes, headers: Record<string, string> = {}): Promise<void> {
    await this.ask("PUT", key, "", body, headers);
  }

  async putInParts(key: string, parts: Bytes[], headers: Record<string, string> = {}): Promise<void> {
    const begun = await (await this.ask("POST", key, "?uploads", "", headers)).text();
    const id = encodeURIComponent(/<UploadId>([^<]+)</.exec(begun)?.[1] ?? "");
    const names: string[] = [];
    for (const [at, part] of parts.entries()) {
      const { headers: answered } = await this.ask("PUT", key, `?partNumber=${at + 1}&uploadId=${id}`, part);
      names.push(`<Part><PartNumber>${at + 1}</PartNumber><ETag>${answered.get("etag")}</ETag></Part>`);
    }
    const body = `<CompleteMultipartUpload>${names.join("")}</CompleteMultipartUpload>`;
    await this.ask("POST", key, `?uploadId=${id}`, body);
  }

  stand(signal: "SIGSTOP" | "SIGCONT"): void {
    this.process?.kill(signal);
  }

  stop(): void {
    this.process?.kill("SIGKILL");
  }

  protected async run(program: string, args: string[], environment: Record<string, string> = {}): Promise<void> {
    this.process = spawn(program, args, { stdio: "ignore", env: { ...process.env, ...environment } });
    for (let attempt = 0; attempt < 300; attempt += 1) {
      const isUp = await fetch(`${this.origin}/`).then(async (answer) => (await answer.arrayBuffer(), true), () => false);
      if (isUp) return;
      await sleep(100);
    }
    throw new Error(`${program} does not start`);
  }

  protected async ask(method: string, key: string, query: string, body: Bytes, headers: Record<string, string> = {}): Promise<Response> {
    const path = key.split("/").map(encodeURIComponent).join("/");
    // An empty body as text would be sent with a type.
    const answer = await fetch(`${this.origin}/photos/${path}${query}`, { method, headers, ...(body.length === 0 ? {} : { body }) });
    if (answer.status !== 200) throw new Error(`${method} ${key}${query}: ${answer.status} ${await answer.text()}`);
    return answer;
  }
}

/** moto's server, whose signatures are checked by botocore's code. */
class Moto extends ForeignS3 {
  static async start(program: string): Promise<ForeignS3> {
    const moto = new Moto(await freePort());
    await moto.run(program, ["-H", "127.0.0.1", "-p", String(moto.port)], { INITIAL_NO_AUTH_ACTION_COUNT: "1000000" });
    await moto.ask("PUT", "", "", "");
    return moto;
  }

  async lock(): Promise<Credentials> {
    const iam = async (fields: Record<string, string>) => {
      const headers = {
        "content-type": "application/x-www-form-urlencoded",
        authorization: "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=b",
      };
      const body = new URLSearchParams({ Version: "2010-05-08", UserName: "mover", ...fields });
      const response = await fetch(`${this.origin}/`, { method: "POST", headers, body });
      const text = await response.text();
      if (response.status !== 200) throw new Error(text);
      return text;
    };
    await iam({ Action: "CreateUser" });
    const statement = { Effect: "Allow", Action: ["s3:ListBucket", "s3:GetObject"], Resource: "*" };
    await iam({ Action: "PutUserPolicy", PolicyName: "read", PolicyDocument: JSON.stringify({ Version: "2012-10-17", Statement: [statement] }) });
    const made = await iam({ Action: "CreateAccessKey" });
    const field = (name: string) => new RegExp(`<${name}>([^<]+)<`).exec(made)?.[1] ?? "";
    await fetch(`${this.origin}/moto-api/reset-auth`, { method: "POST", body: "0" });
    return { accessKeyId: field("AccessKeyId"), secretAccessKey: field("SecretAccessKey") };
  }
}

/** s3s-fs, which keeps objects as files, lists no ETags, and repeats `encoding-type` without encoding keys. */
class S3sFs extends ForeignS3 {
  #program: string;
  #root = mkdtempSync(join(tmpdir(), "stillstore-s3s-"));

  private constructor(program: string, port: number) {
    super(port);
    this.#program = program;
  }

  static async start(program: string): Promise<ForeignS3> {
    const server = new S3sFs(program, await freePort());
    await server.#serve([]);
    await server.ask("PUT", "", "", "");
    return server;
  }

  async lock(): Promise<Credentials> {
    const ended = new Promise((resolve) => this.process?.once("exit", resolve));
    this.process?.kill("SIGKILL");
    await ended;
    const credentials = { accessKeyId: "mover", secretAccessKey: "the secret/+=" };
    await this.#serve(["--access-key", credentials.accessKeyId, "--secret-key", credentials.secretAccessKey]);
    return credentials;
  }

  override stop(): void {
    super.stop();
    rmSync(this.#root, { recursive: true, force: true });
  }

  async #serve(args: string[]): Promise<void> {
    await this.run(this.#program, ["--host", "127.0.0.1", "--port", String(this.port), ...args, this.#root]);
  }
}

/** The servers, the variables that name their programs, and the keys that they cannot hold. */
export const FOREIGN_S3 = [
  {
    name: "moto",
    variable: "MOTO_SERVER",
    start: Moto.start,
    // None of its routes has a line feed.
    cannotHold: (key: string) => key.includes("\n"),
  },
  {
    name: "s3s-fs",
    variable: "S3S_FS",
    start: S3sFs.start,
    // A file has no empty segments in its path, and the name of another file beside it is made of all of the key.
    cannotHold: (key: string) => key.includes("//") || key.endsWith("/") || Buffer.byteLength(key) > 150,
  },
];
