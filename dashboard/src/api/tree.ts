import type { NodeUpdate } from "./types";
import { ApiError, getStream, persistently } from "./client";
import { TreeStore } from "../model/tree_store";

/** So long is worked at a time; the page is drawn in between. */
const SLICE_MS = 8;
/** The clock is read after so many records. */
const RECORDS_AT_ONCE = 32;
const BROKEN_OFF = "The server has broken off";

const QUOTE = 34;
const BACKSLASH = 92;
const OPENS = [91, 123];
const CLOSES = [93, 125];
/** A record lies in an array in an object. */
const RECORD_DEPTH = 3;

/** Finds the records in `{…, "nodes": [{…}, {…}]}` while its text comes in, wherever it is cut. */
export class RecordReader {
  #text = "";
  #at = 0;
  #from = 0;
  #depth = 0;
  #hasBegun = false;
  #isInString = false;

  add(text: string): void {
    this.#text = this.#text.slice(this.#from) + text;
    this.#at -= this.#from;
    this.#from = 0;
  }

  /** The next record that is complete; null if its end has not come yet. */
  next(): NodeUpdate | null {
    for (; this.#at < this.#text.length; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (this.#isInString) {
        if (code === BACKSLASH) this.#at++;
        else if (code === QUOTE) this.#isInString = false;
      } else if (code === QUOTE) this.#isInString = true;
      else if (OPENS.includes(code)) {
        this.#hasBegun = true;
        if (++this.#depth === RECORD_DEPTH) this.#from = this.#at;
      } else if (CLOSES.includes(code) && this.#depth-- === RECORD_DEPTH) {
        const record = this.#text.slice(this.#from, ++this.#at);
        this.#from = this.#at;
        return JSON.parse(record) as NodeUpdate;
      }
    }
    if (this.#depth < RECORD_DEPTH) this.#from = Math.min(this.#at, this.#text.length);
    return null;
  }

  /** Whether all of the text has come. */
  get isComplete(): boolean {
    return this.#hasBegun && this.#depth === 0;
  }
}

/** Reads a tree, which may be large, a moment at a time, and as persistently() does. */
export function getTree(
  path: string,
  signal: AbortSignal,
  onFailure: (problem: string) => void,
): Promise<TreeStore> {
  const read = async (): Promise<TreeStore> => {
    const tree = new TreeStore();
    await readNodes(path, signal, (node) => tree.apply(node));
    return tree;
  };
  return persistently(read, signal, onFailure);
}

/** Hands on the nodes of a tree one by one as they come. */
export async function readNodes(
  path: string,
  signal: AbortSignal,
  take: (node: NodeUpdate) => void,
): Promise<void> {
  const body = await getStream(path, signal);
  const decoder = new TextDecoder();
  const records = new RecordReader();
  let until = performance.now() + SLICE_MS;
  for (let count = 0; ;) {
    const { done, value } = await body.read().catch((cause: unknown) => {
      throw signal.aborted ? cause : new ApiError(0, BROKEN_OFF);
    });
    records.add(decoder.decode(value, { stream: !done }));
    for (let node = records.next(); node; node = records.next()) {
      take(node);
      if (++count % RECORDS_AT_ONCE !== 0 || document.hidden || performance.now() < until) continue;
      await new Promise((drawn) => setTimeout(drawn));
      signal.throwIfAborted();
      until = performance.now() + SLICE_MS;
    }
    if (done) break;
  }
  if (!records.isComplete) throw new ApiError(0, BROKEN_OFF);
}
