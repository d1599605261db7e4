/** A hidden page draws no frames; its title still tells how the run stands, this often. */
const HIDDEN_MS = 1000;

/** Calls once per frame, however often it is asked to; also while the page is hidden, then more rarely. */
export class NextFrame {
  #frame = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly callback: () => void) {}

  request(): void {
    if (this.#frame !== 0 || this.#timer !== null) return;
    this.#frame = requestAnimationFrame(this.#run);
    if (document.hidden) this.#timer = setTimeout(this.#run, HIDDEN_MS);
  }

  cancel(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #run = (): void => {
    this.cancel();
    this.callback();
  };
}
