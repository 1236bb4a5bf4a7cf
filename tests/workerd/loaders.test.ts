// The loaders of frameworks ask for variants: Next.js's <Image> with the custom loader of docs/variants.md, and Nuxt Image's provider imgix.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { build } from "esbuild";

import { Client, bytesOf } from "./client.ts";
import { projectDir } from "./harness/project.ts";
import { startWorker } from "./harness/worker.ts";

const CLIENTS = join(projectDir, "tests/fixtures/clients");
const ADDRESS = "https://images.example";
/** Nuxt Image's own `screens`. */
const SCREENS = { xs: 320, sm: 640, md: 768, lg: 1024, xl: 1280, xxl: 1536 };
/** What a browser sends. */
const ACCEPT = { accept: "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8" };

type Props = { src: string; srcSet?: string };
type GetImageProps = (props: Record<string, unknown>) => { props: Props };
type NuxtImage = { getSizes(input: string, options: Record<string, unknown>): { src: string; srcset: string } };
type NuxtModule = { createImage(options: Record<string, unknown>): NuxtImage; imgix(): unknown };

/** Bundles `source` as the framework's own bundler would, with these modules in the place of names, and runs it. */
async function bundled<Module>(source: string, modules: Record<string, string>, define: Record<string, string>): Promise<Module> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: CLIENTS },
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    define,
    logLevel: "error",
    plugins: [
      {
        name: "modules",
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /^[^.]/ }, ({ path }) => (path in modules ? { path, namespace: "given" } : undefined));
          onLoad({ filter: /.*/, namespace: "given" }, ({ path }) => ({ contents: modules[path] ?? "", resolveDir: CLIENTS }));
        },
      },
    ],
  });
  const directory = mkdtempSync(join(tmpdir(), "stillstore-loaders-"));
  try {
    const file = join(directory, "bundle.mjs");
    writeFileSync(file, outputFiles[0]?.text ?? "");
    return (await import(pathToFileURL(file).href)) as Module;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The URLs of a `srcset`, with how many device pixels or pixels each has. */
function candidates(srcset: string): [string, string][] {
  return srcset.split(", ").map((candidate) => candidate.split(" ") as [string, string]);
}

test("the packages' files are as they were published", () => {
  const table = readFileSync(join(CLIENTS, "README.md"), "utf8").matchAll(/^\| `(.+)` \| `([0-9a-f]{64})` \|$/gm);
  const files = [...table];
  assert.ok(files.length >= 14);
  for (const [, file, sha256] of files) {
    assert.equal(createHash("sha256").update(readFileSync(join(CLIENTS, file!))).digest("hex"), sha256, file);
  }
});

test("Next.js's <Image> gets every size that it asks for through the loader of the documentation", async () => {
  const page = readFileSync(join(projectDir, "docs/variants.md"), "utf8");
  const loader = /Next\.js, with a custom loader:\n\n```js\n([^`]*`[^`]*`[^`]*)```/.exec(page)?.[1] ?? "";
  assert.ok(loader.startsWith("export default "), "the documentation has a loader");
  const modules = {
    "next/dist/shared/lib/image-loader": loader,
    "@swc/helpers/_/_interop_require_wildcard": 'export * from "./swc-helpers/_interop_require_wildcard.cjs";',
  };
  const define = { "process.env.__NEXT_IMAGE_OPTS": "undefined", "process.env.NODE_ENV": '"production"', "process.env.NEXT_DEPLOYMENT_ID": '""' };
  const source = 'export { getImageProps } from "./next/dist/shared/lib/image-external-get-image-props.js";';
  const { getImageProps } = await bundled<{ getImageProps: GetImageProps }>(source, modules, define);
  const worker = await startWorker();
  try {
    const client = new Client(worker);
    const jpeg = new Uint8Array(readFileSync(join(projectDir, "docs/images/moon-before.jpg")));
    const { id } = await client.stored(jpeg, { filename: "moon.jpg" });
    const src = `${ADDRESS}/images/${id}`;
    const asked = new Set<string>();
    for (const props of [{ width: 300, height: 200 }, { fill: true }, { fill: true, sizes: "(max-width: 600px) 50vw, 20vw" }, { width: 64, height: 64, quality: 75 }]) {
      const { srcSet, src: fallback } = getImageProps({ src, alt: "", ...props }).props;
      for (const [url] of [...candidates(srcSet ?? ""), [fallback]]) asked.add(url!);
    }
    assert.ok(asked.size >= 12, [...asked].join(" "));
    for (const url of asked) {
      const { origin, pathname, search, searchParams } = new URL(url);
      assert.equal(origin, ADDRESS);
      assert.deepEqual([...searchParams.keys()], ["w", "q", "fm"]);
      const answer = await worker.fetch(pathname + search, { headers: ACCEPT });
      assert.equal(answer.status, 200, `${search}: ${await answer.clone().text()}`);
      assert.equal(answer.headers.get("content-type"), "image/jpeg");
      assert.notDeepEqual(await bytesOf(answer), Buffer.from(jpeg));
    }
  } finally {
    await worker.stop();
  }
});

test("Nuxt Image's provider imgix gets every size that it asks for", async () => {
  const modules = {
    ufo: 'export * from "./ufo/dist/index.mjs";',
    defu: 'export * from "./defu/dist/defu.mjs";',
    h3: "export const appendHeader = undefined;",
    "image-meta": "export const imageMeta = undefined;",
  };
  const define = { "import.meta.server": "false", "import.meta.prerender": "false", "import.meta.dev": "false" };
  const source = `
    export { createImage } from "./nuxt-image/dist/runtime/image.js";
    export { default as imgix } from "./nuxt-image/dist/runtime/providers/imgix.js";`;
  const { createImage, imgix } = await bundled<NuxtModule>(source, modules, define);
  const providers = { imgix: { setup: imgix, defaults: { baseURL: ADDRESS } } };
  const image = createImage({ provider: "imgix", providers, presets: {}, screens: SCREENS, densities: [1, 2], domains: [], alias: {} });
  const widths = Object.values(SCREENS).flatMap((width) => [width, 2 * width]);
  const worker = await startWorker({ vars: { VARIANT_WIDTHS: [...new Set([...widths, 200, 400, 800])].join(",") } });
  try {
    const client = new Client(worker);
    const { id } = await client.stored(new Uint8Array(readFileSync(join(projectDir, "docs/images/moon-before.jpg"))), { filename: "moon.jpg" });
    const asked = new Map<string, string>();
    for (const options of [
      { sizes: "xs:100vw sm:100vw md:100vw lg:100vw xl:100vw xxl:100vw" },
      { sizes: "sm:100vw md:400px", modifiers: { quality: 75, format: "webp" } },
      { modifiers: { width: 200, height: 200, fit: "cover" } },
      { modifiers: { width: 400, fit: "inside", format: "jpg" } },
      { modifiers: { width: 400, height: 400, fit: "outside", auto: "format" } },
    ]) {
      const { src, srcset } = image.getSizes(`/images/${id}`, options);
      const format = options.modifiers?.format === "webp" ? "image/webp" : "image/jpeg";
      for (const [url] of [...candidates(srcset), [src]]) asked.set(url!, format);
    }
    assert.ok(asked.size >= 16, [...asked.keys()].join(" "));
    for (const [url, type] of asked) {
      const { origin, pathname, search } = new URL(url);
      assert.equal(origin, ADDRESS);
      const answer = await worker.fetch(pathname + search, { headers: ACCEPT });
      assert.equal(answer.status, 200, `${search}: ${await answer.clone().text()}`);
      assert.equal(answer.headers.get("content-type"), type, search);
      await bytesOf(answer);
    }
  } finally {
    await worker.stop();
  }
});
