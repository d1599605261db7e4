import { useEffect, useMemo, useRef } from "preact/hooks";
import { nextChange, type Speed } from "../model/replay";
import { parseRoute, type RunRoute } from "../model/route";
import type { TreeStore } from "../model/tree_store";
import { Replay } from "./replay";

/** While it plays, the address is told so often where it is. */
const TELL_MS = 1000;

export interface ReplayControls {
  replay: Replay;
  isOpen: boolean;
  /** Opens it where the run is now, or closes it. */
  toggle: () => void;
  seek: (at: number) => void;
  step: (step: 1 | -1) => void;
  playOrPause: () => void;
  setSpeed: (speed: Speed) => void;
}

/** The replay of a run, kept where the address says; `span` is from when to when the run is known. */
export function useReplay(
  route: RunRoute,
  live: TreeStore,
  span: [number, number],
  redraw: () => void,
  tell: (at: number | null, how: "push" | "replace") => void,
): ReplayControls {
  const told = useRef<{ at: number | null; when: number }>({ at: null, when: 0 });
  const latest = useRef({ live, tell });
  latest.current = { live, tell };
  const say = (at: number | null, how: "push" | "replace" = "replace"): void => {
    told.current = { at, when: performance.now() };
    latest.current.tell(at, how);
  };
  const close = (): void => {
    const { tree } = replay;
    replay.close();
    if (tree) latest.current.live.setToggled(tree.toggled);
    redraw();
  };
  const replay = useMemo(() => {
    const moved = (): void => {
      const isDue = performance.now() - told.current.when > TELL_MS;
      if (replay.isPlaying && isDue) say(Math.floor(replay.at));
      redraw();
    };
    return new Replay(route, moved, () => say(null));
  }, []);
  useEffect(() => () => replay.close(), []);
  useEffect(() => {
    // While it plays the address can be further on than what was drawn last.
    if (route.at !== (parseRoute(location.hash) as RunRoute).at) return;
    if (route.at === null) {
      if (replay.isOpen) close();
    } else if (route.at !== told.current.at || !replay.isOpen) {
      replay.seek(route.at, latest.current.live);
    }
    told.current.at = route.at;
  }, [route.at]);

  const seek = (at: number): void => {
    replay.seek(at, live);
    say(replay.at);
  };
  const play = (): void => replay.play(span[0], span[1], live);
  return {
    replay,
    isOpen: route.at !== null,
    toggle: () => say(route.at === null ? Math.floor(span[1]) : null, "push"),
    seek,
    step: (step) => {
      const at = nextChange(live, Math.floor(replay.at), step);
      if (!Number.isNaN(at)) seek(at);
    },
    playOrPause: () => {
      if (!replay.isPlaying) play();
      else {
        replay.pause();
        say(Math.floor(replay.at));
      }
    },
    setSpeed: (speed) => {
      replay.speed = speed;
      if (replay.isPlaying) play();
      else redraw();
    },
  };
}
