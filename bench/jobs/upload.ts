// Uploads by stream, and generation from a provider that answers at once.
import { ProviderStub, imageInJson } from "../../tests/workerd/harness/provider-stub.ts";
import type { Case, Job } from "../job.ts";
import { AUTHORIZED, md5, verifyStored, wholeImage } from "./images.ts";
import { uploadedBytes } from "../load-body.ts";

const MB = 1_000_000;
const GENERATED_BYTES = 1.5 * MB;

export function upload(quick: boolean): Job<null> {
  const cases = [10, 100].map((megabytes) => uploadCase(megabytes, quick));
  return { name: "upload", plant: async () => null, cases, variants: ["limit-digests"] };
}

function uploadCase(megabytes: number, quick: boolean): Case<null> {
  const digest = md5(uploadedBytes(megabytes * MB));
  return {
    name: `upload-${megabytes}`,
    title: `Upload ${megabytes} MB by stream`,
    unit: "MB/s",
    targets: [{ against: "limit", atLeast: 0.9 }],
    rounds: megabytes < 100 ? (quick ? 6 : 60) : quick ? 2 : 30,
    async measure({ worker, load, contender }) {
      const headers = { ...AUTHORIZED, "content-type": "image/png" };
      const plan = { url: `${worker.url}api/images`, method: "POST", headers, body: megabytes * MB } as const;
      const { seconds } = await load.load({ ...plan, connections: 1, requests: 1, status: contender === "limit" ? 200 : 201 });
      return { units: megabytes, seconds };
    },
    verify: ({ worker }) => verifyStored(worker, digest, 1),
  };
}

export async function generate(quick: boolean): Promise<Job<null> & { stop(): Promise<void> }> {
  const provider = await ProviderStub.start();
  const image = wholeImage(GENERATED_BYTES);
  const answer = { body: JSON.stringify(imageInJson(image).body), headers: { "content-type": "application/json" } };
  const digest = md5(image);
  const loads = [
    { connections: 1, requests: 2, rounds: 60 },
    { connections: 8, requests: 8, rounds: 45 },
  ];
  const cases = loads.map(
    ({ connections, requests, rounds }): Case<null> => ({
      name: `generate-${connections}`,
      title: `Generate 1.5 MB, ${connections} connection${connections === 1 ? "" : "s"}`,
      unit: "images/s",
      targets: [{ against: "limit", atLeast: 0.85 }],
      rounds: quick ? 5 : rounds,
      async measure({ worker, load }) {
        provider.reset();
        provider.answer(...Array.from({ length: requests }, () => answer));
        const headers = { ...AUTHORIZED, "content-type": "application/json" };
        const body = JSON.stringify({ prompt: "a lighthouse", personaId: "p1" });
        const url = `${worker.url}api/generate-image`;
        const { seconds } = await load.load({ url, method: "POST", headers, body, connections, requests, status: 200 });
        return { units: requests, seconds };
      },
      verify: ({ worker }) => verifyStored(worker, digest, requests),
    }),
  );
  const vars = { IMAGE_PROVIDER: "openai", OPENAI_BASE_URL: provider.baseUrl };
  return { name: "generate", vars, plant: async () => null, cases, variants: ["limit-digests"], stop: () => provider.stop() };
}
