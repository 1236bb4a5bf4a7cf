// Every case that the Worker lists, by its own name.
import assert from "node:assert/strict";
import { test } from "node:test";

import { startConformance } from "./server.ts";

test("conformance", async (context) => {
  const worker = await startConformance({
    vars: { CONFORMANCE_TEXT: "t\u00e4xt" },
    bindings: { CONFORMANCE_FLAG: { type: "json", value: true }, CONFORMANCE_NUMBER: { type: "json", value: 12 } },
  });
  context.after(() => worker.stop());
  const names = (await (await worker.fetch("/conformance")).text()).split("\n");
  assert.ok(names.length > 100, `${names.length} cases are listed`);
  for (const name of names) {
    await context.test(name, async () => {
      const answer = await worker.fetch(`/conformance/${name}`);
      assert.equal(await answer.text(), "holds");
    });
  }
  await context.test("the message that a case sends comes out of the queue", async () => {
    await worker.waitForLog(({ event }) => event?.event === "message" && event.run_id === "conformance");
  });
});
