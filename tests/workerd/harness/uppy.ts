// Uppy with its plug-in for S3, in Node. Imported by name at run time: their types would bring a browser's globals into every test.
import { installXmlHttpRequest } from "./xml-http-request.ts";

/** What Uppy asks to be signed. */
export type SignRequest = { method: string; key: string; uploadId?: string; partNumber?: number };

type Options = {
  shouldUseMultipart: boolean;
  getChunkSize: () => number;
  generateObjectKey: () => string;
  signRequest: (request: SignRequest) => Promise<{ url: string; headers: Record<string, string> }>;
};

interface Instance {
  use(plugin: unknown, options: Options): void;
  addFile(file: { name: string; type: string; data: Blob }): void;
  upload(): Promise<{ failed?: { error: string }[] } | undefined>;
  destroy(): void;
}

async function defaultOf(name: string): Promise<unknown> {
  return ((await import(name)) as { default: unknown }).default;
}

/** Uploads one file; the errors that Uppy reports. */
export async function uploadWithUppy(data: Blob, options: Options): Promise<string[]> {
  installXmlHttpRequest();
  const Uppy = (await defaultOf("@uppy/core")) as new () => Instance;
  const uppy = new Uppy();
  uppy.use(await defaultOf("@uppy/aws-s3"), options);
  uppy.addFile({ name: "file", type: data.type, data });
  const result = await uppy.upload();
  uppy.destroy();
  return (result?.failed ?? []).map(({ error }) => error);
}
