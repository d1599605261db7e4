import { errorText, runPath } from "../api/client";
import { getTree } from "../api/tree";
import { paceOf, type Speed } from "../model/replay";
import type { RunKey } from "../model/route";
import type { TreeStore } from "../model/tree_store";

/** The slider moves so often while it plays. */
const TICK_MS = 50;
/** States are asked for at most so often, and while it plays no more than half of the time. */
const ASK_MS = 100;
/** From so near to the end, as a part of all, it plays from the beginning. */
const END_PART = 0.02;

/**
 * The tree as it was, as the API tells it: one request at a time, for the time where the slider is by then. What is
 * on the page is always a state that the run had, never a guess between two.
 */
export class Replay {
  /** The tree as of `shownAt`; null until the first one has come. */
  tree: TreeStore | null = null;
  /** Milliseconds since 1970; NaN before the first one. */
  shownAt = NaN;
  /** Where the slider is; NaN while no replay is open. */
  at = NaN;
  isPlaying = false;
  speed: Speed = "all";
  /** Why the last state could not be had; "" if it could. */
  error = "";

  #until = NaN;
  #pace = 1;
  #playedAt = 0;
  #tick: ReturnType<typeof setInterval> | null = null;
  #pause: ReturnType<typeof setTimeout> | null = null;
  #abort: AbortController | null = null;

  /** `onChange` is called when something is to be drawn anew, `onEnd` when it has played to the end. */
  constructor(
    private readonly run: RunKey,
    private readonly onChange: () => void,
    private readonly onEnd: () => void,
  ) {}

  get isOpen(): boolean {
    return !Number.isNaN(this.at);
  }

  /** Goes to a time and stays there. The tree takes its folds from `live` at first. */
  seek(at: number, live: TreeStore): void {
    this.#stop();
    this.#goTo(Math.round(at), live);
  }

  /** Plays on from where it is to `until`; a second call with another speed goes on at that. */
  play(from: number, until: number, live: TreeStore): void {
    this.#stop();
    this.isPlaying = true;
    this.#until = until;
    this.#pace = paceOf(this.speed, until - from);
    this.#goTo(until - this.at <= END_PART * (until - from) ? from : this.at, live);
    this.#playedAt = performance.now();
    this.#tick = setInterval(() => this.#advance(live), TICK_MS);
  }

  pause(): void {
    this.#stop();
    this.onChange();
  }

  close(): void {
    this.#stop();
    if (this.#pause !== null) clearTimeout(this.#pause);
    this.#pause = null;
    this.#abandon();
    this.tree = null;
    this.at = this.shownAt = NaN;
  }

  #abandon(): void {
    this.#abort?.abort();
    this.#abort = null;
    this.error = "";
  }

  #fail(problem: string): void {
    this.#stop();
    this.error = problem;
    this.onChange();
  }

  #stop(): void {
    if (this.#tick !== null) clearInterval(this.#tick);
    this.#tick = null;
    this.isPlaying = false;
  }

  #advance(live: TreeStore): void {
    const now = performance.now();
    const at = this.at + (now - this.#playedAt) * this.#pace;
    this.#playedAt = now;
    if (at < this.#until) {
      this.#goTo(at, live);
      return;
    }
    this.#stop();
    this.onEnd();
  }

  #goTo(at: number, live: TreeStore): void {
    this.at = at;
    // What is asked for again and again is not waited for when the reader goes elsewhere.
    if (this.error) this.#abandon();
    this.onChange();
    void this.#ask(live);
  }

  async #ask(live: TreeStore): Promise<void> {
    const at = Math.floor(this.at);
    if (this.#abort || this.#pause !== null || at === this.shownAt) return;
    const abort = new AbortController();
    this.#abort = abort;
    const asked = performance.now();
    try {
      const query = `at=${encodeURIComponent(new Date(at).toISOString())}`;
      const path = `${runPath(this.run)}/tree?${query}`;
      const tree = await getTree(path, abort.signal, (problem) => this.#fail(problem));
      if (abort.signal.aborted) return;
      this.error = "";
      const before = this.tree ?? live;
      tree.setToggled(before.toggled);
      tree.view = before.view;
      this.tree = tree;
      this.shownAt = at;
    } catch (cause) {
      if (abort.signal.aborted) return;
      this.#fail(errorText(cause));
    }
    this.#abort = null;
    const tookMs = performance.now() - asked;
    const pauseMs = this.isPlaying ? Math.max(ASK_MS, tookMs) : ASK_MS;
    this.#pause = setTimeout(() => {
      this.#pause = null;
      if (!this.error) void this.#ask(live);
    }, pauseMs);
    this.onChange();
  }
}
