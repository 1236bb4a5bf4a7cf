import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { call } from "../api/client.ts";
import type { MigrateRequest, MigrationStatus, RunAnswer, SourceStats } from "../api/types.ts";
import { go } from "../location.ts";
import { Choices, Dialog } from "../parts/dialog.tsx";
import { ProblemNote } from "../parts/problem.tsx";
import { ACTIONS } from "./actions.ts";
import type { ActionName, Option } from "./actions.ts";

type Props = { name: ActionName; source: SourceStats; status: MigrationStatus; onClose: () => void };

/** Says what an action will do before it is done. */
export function ActionDialog({ name, source, status, onClose }: Props) {
  const action = ACTIONS.find((one) => one.name === name);
  const [options, setOptions] = useState<Option[]>(() => action?.options(source) ?? []);
  if (action === undefined) return null;
  const request = { ...action.request, source: source.name, ...chosen(options) };
  return (
    <StartDialog title={`${action.title}: ${source.name}`} verb={verbOf(action.title, request)} isDangerous={action.kind === "danger" && !request.dryRun} request={request} onClose={onClose}>
      {action.words(source, status).map((words) => (
        <p key={words}>{words}</p>
      ))}
      {options.map(({ name, label, isOn }, index) => (
        <label class="check" key={name}>
          <input
            type="checkbox"
            checked={isOn}
            onChange={() => setOptions(options.map((option, at) => (at === index ? { ...option, isOn: !isOn } : option)))}
          />
          {label}
        </label>
      ))}
    </StartDialog>
  );
}

function chosen(options: Option[]): Partial<MigrateRequest> {
  return Object.fromEntries(options.filter(({ isOn }) => isOn).map(({ name }) => [name, true]));
}

function verbOf(title: string, { dryRun }: MigrateRequest): string {
  return dryRun ? "Start the dry run" : title;
}

type StartProps = {
  title: string;
  verb: string;
  isDangerous: boolean;
  request: MigrateRequest;
  onClose: () => void;
  children: ComponentChildren;
};

/** Starts a run and shows it. */
export function StartDialog({ title, verb, isDangerous, request, onClose, children }: StartProps) {
  const [error, setError] = useState<unknown>();
  const [isStarting, setIsStarting] = useState(false);
  const start = async () => {
    setIsStarting(true);
    try {
      // Actions that begin a run are answered with it.
      const { runId } = (await call("migrate-images", { body: { ...request, background: true } })) as RunAnswer;
      go(`#/run/${runId}`);
    } catch (refusal) {
      setError(refusal);
      setIsStarting(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      {error !== undefined && <ProblemNote error={error} />}
      <Choices onCancel={onClose}>
        <button type="button" class={isDangerous ? "danger" : "main"} disabled={isStarting} onClick={() => void start()}>
          {verb}
        </button>
      </Choices>
    </Dialog>
  );
}
