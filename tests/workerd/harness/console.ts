// The console in a real browser: what a person does there, what the page must not do meanwhile, and pictures of it.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import type { Browser, BrowserContext, Page } from "playwright-core";

import { projectDir } from "./project.ts";
import { API_TOKEN } from "./worker.ts";
import type { RunningWorker } from "./worker.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SCREENSHOTS = join(projectDir, "docs/console");
/** `CONSOLE_SCREENSHOTS=write` writes those of the documentation anew. */
const WRITES_SCREENSHOTS = process.env.CONSOLE_SCREENSHOTS === "write";

/** Far more than anything takes on a slow and busy machine. */
const TIMEOUT_MS = 15_000;

type Options = { token?: string | undefined; width?: number; height?: number; colorScheme?: "light" | "dark" };

type Finding = { id: string; impact: string; nodes: { html: string }[] };

export class ConsolePage {
  readonly page: Page;
  /** What its Content-Security-Policy refused, scripts that threw, and requests to other origins. */
  readonly faults: string[] = [];
  readonly #context: BrowserContext;

  private constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.page = page;
  }

  /** Opens the console at a page, signed in unless `token` is undefined. */
  static async open(browser: Browser, worker: RunningWorker, hash: string, options: Options = {}): Promise<ConsolePage> {
    const token = "token" in options ? options.token : API_TOKEN;
    const { width = 1_100, height = 800, colorScheme = "light" } = options;
    const { origin } = new URL(worker.url);
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, acceptDownloads: true, locale: "en-GB" });
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
    context.setDefaultTimeout(TIMEOUT_MS);
    const page = await context.newPage();
    const opened = new ConsolePage(context, page);
    page.on("pageerror", (error) => opened.faults.push(`script: ${error.message}`));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (/^https?:$/.test(url.protocol) && url.origin !== origin) opened.faults.push(`request to ${request.url()}`);
    });
    page.on("dialog", (dialog) => {
      opened.faults.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.exposeFunction("reportViolation", (text: string) => opened.faults.push(`policy: ${text}`));
    await page.addInitScript(
      "addEventListener('securitypolicyviolation', (event) => reportViolation(`${event.effectiveDirective} ${event.blockedURI}`))",
    );
    if (token !== undefined) {
      // Once: signing out forgets it.
      const keep = `sessionStorage.setItem("stillstore-token", ${JSON.stringify(token)})`;
      await page.addInitScript(`if (top === self && location.origin === ${JSON.stringify(origin)} && history.length <= 2) ${keep}`);
    }
    await page.goto(`${worker.url}console${hash}`);
    return opened;
  }

  /** Axe finds nothing serious, nothing sticks out of the window, and the page did nothing that it must not. */
  async check(name: string): Promise<void> {
    await this.page.evaluate(`${AXE}; undefined`);
    const found = (await this.page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations)")) as Finding[];
    const serious = found.filter(({ impact }) => impact === "serious" || impact === "critical");
    assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`), [], name);
    const [content, window] = (await this.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")) as [number, number];
    assert.ok(content <= window, `${name} is ${content} px wide in a window of ${window}`);
    assert.deepEqual(this.faults, [], name);
  }

  /** Checks the page and, when asked to it is to be kept, keeps a picture of it in docs/console/. */
  async look(name: string, { isKept = true } = {}): Promise<void> {
    await this.check(name);
    if (!WRITES_SCREENSHOTS || !isKept) return;
    await this.page.evaluate("scrollTo(0, 0)");
    mkdirSync(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
  }

  async go(hash: string): Promise<void> {
    await this.page.evaluate(`location.hash = ${JSON.stringify(hash)}; undefined`);
  }

  async press(button: string): Promise<void> {
    await this.page.getByRole("button", { name: button, exact: true }).first().click();
  }

  /** Presses the button of the open dialog. */
  async answer(button: string): Promise<void> {
    await this.page.getByRole("dialog").getByRole("button", { name: button, exact: true }).click();
  }

  /** Waits until the page says so. */
  async says(text: string | RegExp): Promise<void> {
    await this.page.getByText(text).first().waitFor();
  }

  async saysNot(text: string): Promise<void> {
    await this.page.getByText(text).first().waitFor({ state: "detached" });
  }

  /** Waits until an expression holds in the page. The browser's own way of waiting evaluates a text there, which the policy forbids. */
  async until(expression: string): Promise<void> {
    const deadlineMs = Date.now() + TIMEOUT_MS;
    while ((await this.page.evaluate(expression)) !== true) {
      if (Date.now() > deadlineMs) throw new Error(`It did not come to hold: ${expression}`);
      await this.page.waitForTimeout(20);
    }
  }

  clipboard(): Promise<string> {
    return this.page.evaluate("navigator.clipboard.readText()") as Promise<string>;
  }

  async close(): Promise<void> {
    await this.#context.close();
  }
}
