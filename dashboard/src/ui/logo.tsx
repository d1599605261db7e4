import { ALL_RUNS, formatRoute } from "../model/route";
import mark from "../favicon.svg";

export function Logo() {
  return (
    <a class="logo" href={formatRoute(ALL_RUNS)} aria-label="runtree: all runs">
      <img src={mark} alt="" width="22" height="22" />
      <span>runtree</span>
    </a>
  );
}
