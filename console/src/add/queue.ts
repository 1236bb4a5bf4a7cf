// Files on their way into storage. They go on when another page is shown.
import { authorization, pathOf, problemIn, Unreachable } from "../api/client.ts";
import type { Image } from "../api/types.ts";
import { forgetGallery } from "../gallery/store.ts";
import type { Labelling } from "./page.tsx";

/** Uploads under way at once. */
const CONCURRENCY = 3;

export type Upload = {
  readonly id: number;
  readonly file: File;
  readonly labelling: Labelling;
  state: "waiting" | "sending" | "stored" | "failed" | "cancelled";
  sentBytes: number;
  image?: Image;
  error?: unknown;
  cancel: () => void;
};

let uploads: readonly Upload[] = [];
let lastId = 0;
const listeners = new Set<() => void>();

export function uploadsNow(): readonly Upload[] {
  return uploads;
}

export function listen(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function addFiles(files: File[], labelling: Labelling): void {
  const added = files.map((file): Upload => ({ id: ++lastId, file, labelling, state: "waiting", sentBytes: 0, cancel() {} }));
  uploads = [...added, ...uploads];
  start();
}

export function retry(upload: Upload): void {
  change(upload, { state: "waiting", sentBytes: 0, error: undefined });
  start();
}

/** Takes away what has ended. */
export function clearEnded(): void {
  uploads = uploads.filter(({ state }) => state === "waiting" || state === "sending");
  tell();
}

function start(): void {
  const sending = uploads.filter(({ state }) => state === "sending").length;
  const waiting = uploads.filter(({ state }) => state === "waiting").reverse();
  for (const upload of waiting.slice(0, Math.max(0, CONCURRENCY - sending))) send(upload);
  tell();
}

/** XMLHttpRequest, because fetch does not say how much has been sent. */
function send(upload: Upload): void {
  const { file, labelling } = upload;
  const { context, visibility } = labelling;
  const query = { filename: file.name, visibility, ...(context === "" ? {} : { context }) };
  const request = new XMLHttpRequest();
  change(upload, { state: "sending", cancel: () => request.abort() });
  request.open("POST", pathOf("upload-image", { query }));
  for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.upload.onprogress = ({ loaded }) => change(upload, { sentBytes: loaded });
  request.onload = () => {
    if (request.status === 201) {
      forgetGallery();
      change(upload, { state: "stored", sentBytes: file.size, image: JSON.parse(request.responseText) as Image });
    } else change(upload, { state: "failed", error: problemIn(request.responseText) });
    start();
  };
  request.onerror = () => {
    change(upload, { state: "failed", error: new Unreachable("The connection broke off. Check it and try again.") });
    start();
  };
  request.onabort = () => {
    change(upload, { state: "cancelled" });
    start();
  };
  request.send(file);
}

function change(upload: Upload, fields: Partial<Upload>): void {
  Object.assign(upload, fields);
  tell();
}

function tell(): void {
  for (const listener of listeners) listener();
}
