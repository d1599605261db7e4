/** A `Date` header has whole seconds, so smaller differences between the clocks mean nothing. */
const NOTICEABLE_SKEW_MS = 2000;

/** The server's time, as far as its answers' `Date` headers tell. */
class Clock {
  #skewMs = 0;

  /** Milliseconds since 1970 by the server's clock. */
  now(): number {
    return Date.now() + this.#skewMs;
  }

  observe(dateHeader: string | null): void {
    const skewMs = dateHeader ? Date.parse(dateHeader) + 500 - Date.now() : NaN;
    if (Number.isFinite(skewMs)) this.#skewMs = Math.abs(skewMs) > NOTICEABLE_SKEW_MS ? skewMs : 0;
  }
}

export const clock = new Clock();
