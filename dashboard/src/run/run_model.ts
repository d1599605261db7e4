import type { NodeUpdate } from "../api/types";
import type { RunKey } from "../model/route";
import { TreeStore } from "../model/tree_store";
import { subscribe, type Subscription } from "../stream/client";
import { NextFrame } from "../ui/frame";
import { CONNECTING, type FeedMessage, type StreamState, type Topic } from "../stream/protocol";

/** All of a run, for filters are the page's own. */
export function runTopic({ project, domain, runName }: RunKey): Topic {
  return { kind: "run", value: [project, domain, runName].map(encodeURIComponent).join("/") };
}

/**
 * The tree on the page and the stream that feeds it. When the tree has to be built anew (a reset), that happens
 * aside, and the page shows the old one until the new one is complete.
 */
export class RunModel {
  tree: TreeStore;
  state: StreamState = CONNECTING;
  /** Whether the first snapshot is complete. */
  isComplete = false;
  /** Whether there is no such run, not yet or no more; the stream waits for it. */
  isAbsent = false;

  #aside: TreeStore | null = null;
  #run: RunKey | null = null;
  #subscription: Subscription | null = null;
  readonly #frame: NextFrame;

  /** `onChange` is called at most once per animation frame; `toggled` as the tree has it. */
  constructor(onChange: () => void, toggled: Iterable<string> = []) {
    this.tree = new TreeStore(toggled);
    this.#frame = new NextFrame(onChange);
  }

  watch(run: RunKey): void {
    this.#run = run;
    this.#subscription = subscribe(runTopic(run), (message) => this.#take(message));
  }

  /** Watches no longer, until resume(); what is shown stays. */
  pause(): void {
    this.#subscription?.close();
    this.#subscription = null;
  }

  /** Goes on with what pause() stopped: the tree is built anew aside. */
  resume(): void {
    if (this.#subscription || !this.#run) return;
    this.#startAside();
    this.watch(this.#run);
  }

  retry(): void {
    this.#subscription?.retry();
  }

  close(): void {
    this.pause();
    this.#run = null;
    this.#frame.cancel();
  }

  #take(message: FeedMessage): void {
    switch (message.type) {
      case "records": {
        const tree = this.#aside ?? this.tree;
        for (const update of JSON.parse(message.json) as NodeUpdate[]) tree.apply(update);
        if (tree !== this.tree) return;
        this.isAbsent = false;
        break;
      }
      case "reset":
        this.#startAside();
        break;
      case "synced":
        this.#finishAside();
        this.isComplete = true;
        this.isAbsent = false;
        break;
      case "absent":
        this.tree = new TreeStore(this.tree.toggled, this.tree.view);
        this.#aside = null;
        this.isAbsent = true;
        break;
      case "state":
        this.state = message.state;
        // What was to be replaced is gone: the run has been deleted.
        if (this.#aside && message.state.status === "failed") this.#finishAside();
        break;
    }
    this.#frame.request();
  }

  /** While nothing is shown there is nothing to keep, and the first rows show as soon as they come. */
  #startAside(): void {
    const empty = new TreeStore(this.tree.toggled, this.tree.view);
    if (this.tree.size > 0) this.#aside = empty;
    else {
      this.tree = empty;
      this.#aside = null;
    }
  }

  #finishAside(): void {
    if (this.#aside) this.tree = this.#aside;
    this.#aside = null;
  }
}
