import type { ActionEvent } from "../api/types";
import type { RunKey } from "./route";

export interface SampleStep {
  /** When to report it, counted from the start. */
  atMs: number;
  event: ActionEvent;
}

type Body = Partial<Omit<ActionEvent, keyof RunKey | "name" | "phase">>;

/** Numbers that look random and are the same for the same seed (a linear congruential generator). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 0x1_0000_0000;
  };
}

class Script {
  readonly steps: SampleStep[] = [];
  constructor(private readonly run: RunKey) {}

  say(atMs: number, name: string, phase: ActionEvent["phase"], body: Body = {}): void {
    this.steps.push({ atMs: Math.round(atMs), event: { ...this.run, name, phase, ...body } });
  }

  /** One attempt, from the queue to its end; returns when that is. */
  attempt(
    fromMs: number,
    waitMs: number,
    workMs: number,
    name: string,
    first: Body,
    last: [ActionEvent["phase"], Body],
  ): number {
    const { attempt } = first;
    const again: Body = attempt === undefined ? {} : { attempt };
    this.say(fromMs, name, "QUEUED", first);
    this.say(fromMs + waitMs * 0.6, name, "INITIALIZING", { ...again, cluster: "playground-1" });
    this.say(fromMs + waitMs, name, "RUNNING", {
      ...again,
      clusterEvents: [{ message: "Image pulled" }, { message: "Container started" }],
    });
    this.say(fromMs + waitMs + workMs, name, last[0], { ...again, ...last[1] });
    return fromMs + waitMs + workMs;
  }
}

const OUT_OF_MEMORY = {
  kind: "SYSTEM" as const,
  message: "exit status 137: out of memory (limit 4 GiB)",
};
const SHARDS = 24;
const TRIALS = 6;

/**
 * A made-up training pipeline of about half a minute: a map over shards of which some run out of memory and are
 * tried again, a sweep of trials of which one fails for good, and an evaluation.
 */
export function sampleRun(run: RunKey, seed: number): SampleStep[] {
  const script = new Script(run);
  const random = randomFrom(seed);
  const task = (name: string): Body => ({ task: { name: `pipeline.${name}` } });
  const under = (parent: string | null, name: string): Body => ({ parent, ...task(name) });

  script.say(0, "a0", "QUEUED", under(null, "train_and_report"));
  script.say(300, "a0", "RUNNING");
  const fetched = script.attempt(500, 900, 3200, "fetch", under("a0", "fetch_dataset"), [
    "SUCCEEDED",
    { outputs: { rows: 1_204_331, uri: "s3://playground/raw/2026" } },
  ]);

  script.say(fetched, "prepare", "RUNNING", under("a0", "prepare"));
  let prepared = fetched;
  for (let shard = 0; shard < SHARDS; shard++) {
    const name = `shard-${String(shard).padStart(2, "0")}`;
    const first: Body = { ...under("prepare", "clean_shard"), group: "map" };
    const begins = fetched + 200 + Math.floor(shard / 8) * 3200 + random() * 900;
    const waits = 400 + random() * 900;
    let ends: number;
    if (shard % 9 === 4) {
      const died = script.attempt(begins, waits, 1500, name, first, [
        "FAILED",
        { errorInfo: OUT_OF_MEMORY },
      ]);
      ends = script.attempt(died + 400, 500, 2600, name, { attempt: 2 }, ["SUCCEEDED", {}]);
    } else {
      ends = script.attempt(begins, waits, 1600 + random() * 2600, name, first, ["SUCCEEDED", {}]);
    }
    prepared = Math.max(prepared, ends);
  }
  script.say(prepared + 150, "prepare", "SUCCEEDED");

  const sweep = prepared + 300;
  script.say(sweep, "sweep", "RUNNING", under("a0", "tune"));
  let swept = sweep;
  for (let trial = 0; trial < TRIALS; trial++) {
    const name = `trial-${trial}`;
    script.say(sweep + trial * 250, name, "RUNNING", {
      ...under("sweep", "trial"),
      group: "sweep",
    });
    const fails = trial === 3;
    let done = sweep + trial * 250;
    for (const [part, workMs] of [
      ["train", 7000],
      ["score", 1800],
    ] as const) {
      const isLast = fails && part === "train";
      done = script.attempt(
        done + 150,
        700,
        workMs * (0.7 + random() * 0.7),
        `${name}.${part}`,
        under(name, part),
        [
          isLast ? "FAILED" : "SUCCEEDED",
          isLast
            ? {
                errorInfo: {
                  kind: "USER",
                  message: "loss is NaN at step 812\n  learning_rate=0.3\n  batch_size=64",
                },
              }
            : {
                logInfo: [
                  { name: "stdout", uri: `https://logs.example/${run.runName}/${name}/${part}` },
                ],
              },
        ],
      );
      if (isLast) break;
    }
    script.say(done + 100, name, fails ? "FAILED" : "SUCCEEDED");
    swept = Math.max(swept, done + 100);
  }
  script.say(swept + 100, "sweep", "SUCCEEDED", { outputs: { best: "trial-1", failed: 1 } });

  const evaluated = script.attempt(swept + 300, 600, 3800, "evaluate", under("a0", "evaluate"), [
    "SUCCEEDED",
    { outputs: { accuracy: 0.942, f1: 0.917 } },
  ]);
  script.say(evaluated + 200, "a0", "SUCCEEDED");
  return script.steps.sort((a, b) => a.atMs - b.atMs);
}
