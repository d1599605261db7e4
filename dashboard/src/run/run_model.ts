import { ApiError, getJson, runPath } from "../api/client";
import type { NodeUpdate } from "../api/types";
import type { RunKey } from "../model/route";
import { TreeStore } from "../model/tree_store";
import { subscribe, type Subscription } from "../stream/client";
import { NextFrame } from "../ui/frame";
import { CONNECTING, type FeedMessage, type StreamState } from "../stream/protocol";

/** Where the stream of a run is found: of all of it, for filters are the page's own, also before it begins, and after
 *  its end, for it can go on. */
export function watchUrl(run: RunKey): string {
  return `${runPath(run)}/watch?wait=true&follow=true`;
}

/** After so long without a word of the run it is asked whether there is one. */
const SILENCE_MS = 500;

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
  #subscription: Subscription | null = null;
  #absence: ReturnType<typeof setTimeout> | null = null;
  readonly #frame: NextFrame;

  /** `onChange` is called at most once per animation frame; `toggled` as the tree has it. */
  constructor(onChange: () => void, toggled: Iterable<string> = []) {
    this.tree = new TreeStore(toggled);
    this.#frame = new NextFrame(onChange);
  }

  watch(run: RunKey): void {
    this.#subscription = subscribe(watchUrl(run), "nodeUpdate", (message) => {
      this.#take(message);
      this.#askWhenSilent(run);
    });
  }

  retry(): void {
    this.#subscription?.retry();
  }

  close(): void {
    if (this.#absence !== null) clearTimeout(this.#absence);
    this.#subscription?.close();
    this.#subscription = null;
    this.#frame.cancel();
  }

  /** A stream that is open and brings nothing waits for a run that is not there. */
  #askWhenSilent(run: RunKey): void {
    if (this.#absence !== null) clearTimeout(this.#absence);
    this.#absence = null;
    if (this.state.status !== "catching-up") return;
    this.#absence = setTimeout(() => {
      getJson(runPath(run)).catch((cause: unknown) => {
        if (!(cause instanceof ApiError) || cause.status !== 404) return;
        if (this.state.status !== "catching-up") return;
        this.tree = new TreeStore(this.tree.toggled, this.tree.view);
        this.#aside = null;
        this.isAbsent = true;
        this.#frame.request();
      });
    }, SILENCE_MS);
  }

  #take(message: FeedMessage): void {
    if (message.type === "records" || message.type === "synced") this.isAbsent = false;
    switch (message.type) {
      case "records": {
        const tree = this.#aside ?? this.tree;
        for (const update of JSON.parse(message.json) as NodeUpdate[]) tree.apply(update);
        if (tree !== this.tree) return;
        break;
      }
      case "reset":
        this.#startAside();
        break;
      case "synced":
        this.#finishAside();
        this.isComplete = true;
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
