// What can be done to a source, and what is said before it is done.
import type { MigrateRequest, MigrationStatus, SourceStats } from "../api/types.ts";
import { bytes, count, counted } from "../format.ts";

export type ActionName = "dry-run" | "migrate" | "validate" | "rollback" | "cleanup" | "backup";

export type Option = { name: "fallbackOnly" | "checkIntegrity" | "deleteFromR2" | "dryRun"; label: string; isOn: boolean };

export type Action = {
  name: ActionName;
  title: string;
  kind: "" | "main" | "danger";
  request: MigrateRequest;
  /** What it will do, and to how many. */
  words: (source: SourceStats, status: MigrationStatus) => string[];
  options: (source: SourceStats) => Option[];
};

const some = (value: number | null, one: string) => (value === null ? `an unknown number of ${one}s` : counted(value, one));

export const ACTIONS: Action[] = [
  {
    name: "dry-run",
    title: "Dry run",
    kind: "main",
    request: { action: "migrate", dryRun: true },
    words: ({ base64Images }) => [
      `Reads and decodes ${some(base64Images, "image")}, and says what a migration would move, fail at, and cost. Nothing is changed.`,
    ],
    options: () => [],
  },
  {
    name: "migrate",
    title: "Migrate",
    kind: "main",
    request: { action: "migrate" },
    words: ({ base64Images, estimatedSpaceSaved }) => [
      `Copies ${some(base64Images, "image")}${estimatedSpaceSaved ? ` (${bytes(estimatedSpaceSaved)} of the database)` : ""} into R2, and has their rows name the copies.`,
      "The originals stay in the database until you clean up, so that a rollback is quick. The run goes on when this page is closed.",
    ],
    options: ({ name }) =>
      name === "embedded" ? [{ name: "fallbackOnly", label: "Only images that fell back to the database while R2 was down", isOn: false }] : [],
  },
  {
    name: "validate",
    title: "Validate",
    kind: "",
    request: { action: "validate" },
    words: ({ migratedImages }) => [`Looks at ${some(migratedImages, "copy").replace("copys", "copies")} in R2, and says which are missing, damaged or named by no row. Nothing is changed.`],
    options: () => [{ name: "checkIntegrity", label: "Read every byte back and compare its SHA-256", isOn: true }],
  },
  {
    name: "rollback",
    title: "Roll back",
    kind: "danger",
    request: { action: "rollback" },
    words: ({ moved, cleaned }) => [
      `Puts the rows of up to ${some(moved === null || cleaned === null ? null : moved + cleaned, "moved image")} back as they were before their move.`,
      "Images whose originals were cleaned up are brought back from R2 first.",
    ],
    options: () => [
      { name: "dryRun", label: "Dry run: change nothing", isOn: true },
      { name: "deleteFromR2", label: "Remove each copy from R2 once its original was read back", isOn: false },
    ],
  },
  {
    name: "cleanup",
    title: "Clean up",
    kind: "danger",
    request: { action: "cleanup" },
    words: ({ moved }) => [
      `Deletes the originals of up to ${some(moved, "moved image")} from the database. Each copy is read back first, and an original whose copy does not match stays.`,
      "Originals that are younger than ROLLBACK_RETENTION_DAYS stay. Afterwards a rollback has to bring the bytes back from R2.",
    ],
    options: () => [{ name: "dryRun", label: "Dry run: delete nothing", isOn: true }],
  },
  {
    name: "backup",
    title: "Back up",
    kind: "",
    request: { action: "backup" },
    words: ({ totalImages, base64Images }) => [
      `Writes what the database holds of ${count(base64Images ?? totalImages ?? 0)} images into objects of the bucket, from which they can be restored.`,
    ],
    options: () => [],
  },
];
