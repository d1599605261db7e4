import { runPath } from "../api/client";
import type { NodeUpdate } from "../api/types";
import type { Phase } from "../model/phase";
import type { RunKey } from "../model/route";
import { TreeStore } from "../model/tree_store";
import { subscribe, type Subscription } from "../stream/client";
import { NextFrame } from "../ui/frame";
import { CONNECTING, type FeedMessage, type StreamState } from "../stream/protocol";

export interface TreeFilter {
  phases: readonly Phase[];
  name: string;
}

/** Where the stream of a run with a filter is found. */
export function watchUrl(run: RunKey, filter: TreeFilter): string {
  const query = new URLSearchParams();
  if (filter.phases.length > 0) query.set("phase", filter.phases.join(","));
  if (filter.name) query.set("name", filter.name);
  const search = query.toString().replaceAll("%2C", ",");
  return `${runPath(run)}/watch${search ? `?${search}` : ""}`;
}

/**
 * The tree on the page and the stream that feeds it. Whenever the tree has to be built anew (a reset,
 * another filter), that happens aside, and the page shows the old one until the new one is complete.
 */
export class RunModel {
  tree = new TreeStore();
  state: StreamState = CONNECTING;
  /** Whether the first snapshot is complete. */
  isComplete = false;

  #aside: TreeStore | null = null;
  #subscription: Subscription | null = null;
  #url = "";
  readonly #frame: NextFrame;

  /** `onChange` is called at most once per animation frame. */
  constructor(onChange: () => void) {
    this.#frame = new NextFrame(onChange);
  }

  watch(run: RunKey, filter: TreeFilter): void {
    const url = watchUrl(run, filter);
    if (url === this.#url) return;
    this.#url = url;
    this.#subscription?.close();
    this.#startAside();
    this.state = CONNECTING;
    this.#subscription = subscribe(url, "nodeUpdate", (message) => {
      if (this.#url === url) this.#take(message);
    });
    this.#frame.request();
  }

  retry(): void {
    this.#subscription?.retry();
  }

  close(): void {
    this.#url = "";
    this.#subscription?.close();
    this.#subscription = null;
    this.#frame.cancel();
  }

  #take(message: FeedMessage): void {
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
    const empty = new TreeStore(this.tree.collapsedNames);
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
