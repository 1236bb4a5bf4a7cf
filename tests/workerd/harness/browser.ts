// A real browser, for tests of pages and of what scripts at other origins may do.
import { createServer } from "node:http";
import type { RequestListener, Server } from "node:http";
import type { AddressInfo } from "node:net";

import { chromium } from "playwright-core";
import type { Browser } from "playwright-core";

import { findBrowser } from "../../../scripts/browser.mjs";

/** Starts Chromium without a window. */
export function startBrowser(): Promise<Browser> {
  const executablePath = findBrowser();
  if (executablePath === undefined) throw new Error("No Chromium: `npm test` installs one.");
  // Its sandbox does not start for root, and /dev/shm is small in containers.
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** Serves an empty page, so that scripts run at an origin of their own, or what `listener` answers. */
export async function serveOrigin(listener: RequestListener = emptyPage): Promise<{ origin: string; server: Server }> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const { port } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, server };
}

const emptyPage: RequestListener = (_request, response) => {
  response.writeHead(200, { "Content-Type": "text/html" });
  response.end("<!doctype html><title>elsewhere</title>");
};
