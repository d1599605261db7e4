/** Runs made up for the tests, the same every time. */

export const TERMINAL = ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "RECOVERED"];

/** Numbers between 0 and 1 that look random (a linear congruential generator). */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * A render farm's night: scenes of shots of frames, four levels deep, some 400 actions in every phase there
 * is. Frames fail and are tried again, some for good; the events are in order of time, parents first.
 */
export function inventRun(run, { scenes = 4, shots = 4, frames = 22 } = {}) {
  const random = randomFrom(20260412);
  const began = Date.parse("2026-04-12T20:00:00.000Z");
  const timed = [];
  const say = (at, name, phase, more = {}) =>
    timed.push({
      at,
      event: {
        ...run,
        name,
        phase,
        ...more,
        updatedTime: new Date(began + Math.round(at)).toISOString(),
      },
    });
  const task = (name) => ({ task: { name: `farm.${name}`, shortName: name } });

  say(0, "night", "RUNNING", { parent: null, ...task("night") });
  let over = 0;
  for (let s = 0; s < scenes; s++) {
    const scene = `scene-${s}`;
    const opens = 500 + s * 9000;
    say(opens, scene, "RUNNING", { parent: "night", ...task("scene") });
    let closes = opens;
    for (let h = 0; h < shots; h++) {
      const shot = `${scene}.shot-${h}`;
      say(opens + 100 + h, shot, "RUNNING", { parent: scene, ...task("shot") });
      let last = opens;
      for (let f = 0; f < frames; f++) last = Math.max(last, frame(shot, f, opens + 200 + f * 300));
      say(last + 50, shot, "SUCCEEDED");
      closes = Math.max(closes, last + 100);
    }
    say(closes, scene, "SUCCEEDED");
    over = Math.max(over, closes);
  }
  say(over + 100, "night", "SUCCEEDED");
  return timed.sort((a, b) => a.at - b.at).map(({ event }) => event);

  /** One frame; returns when it is over. */
  function frame(shot, number, at) {
    const name = `${shot}.frame-${number}`;
    say(at, name, "QUEUED", {
      parent: shot,
      group: "frames",
      ...task(number % 5 === 0 ? "simulate" : "render"),
    });
    if (number % 3 === 0) say(at + 50, name, "WAITING_FOR_RESOURCES");
    say(at + 150, name, "INITIALIZING", { cluster: "gpu-1" });
    say(at + 300, name, "RUNNING");
    const works = 1000 + random() * 9000;
    let ends = at + 300 + works;
    if (number % 7 === 3) {
      say(ends, name, "FAILED", { errorInfo: { kind: "SYSTEM", message: "node lost" } });
      say(ends + 200, name, "QUEUED", { attempt: 2 });
      say(ends + 500, name, "RUNNING", { attempt: 2 });
      ends += 500 + works / 2;
      say(ends, name, number % 14 === 3 ? "SUCCEEDED" : "FAILED", { attempt: 2 });
      return ends;
    }
    if (number % 11 === 5) {
      say(at + 400, name, "PAUSED", { version: 1 });
      say(at + 900, name, "RUNNING", { version: 2 });
    }
    const ending = { 8: "TIMED_OUT", 12: "ABORTED", 16: "RECOVERED" }[number] ?? "SUCCEEDED";
    say(ends, name, ending, { outputs: { samples: 256 } });
    return ends;
  }
}

/** A flat wide run: one root, groups of 500, every 97th action failed, one event for each. */
export function inventLargeRun(run, actions) {
  const began = Date.parse("2026-04-12T20:00:00.000Z");
  const time = (ms) => new Date(began + ms).toISOString();
  const events = [
    {
      ...run,
      name: "root",
      parent: null,
      phase: "RUNNING",
      task: { name: "sweep.all" },
      updatedTime: time(0),
    },
  ];
  for (let index = 0; events.length < actions; index++) {
    const group = `g${Math.floor(index / 500)}`;
    if (index % 500 === 0) {
      events.push({
        ...run,
        name: group,
        parent: "root",
        phase: "RUNNING",
        task: { name: "sweep.batch" },
        updatedTime: time(index * 20),
      });
    }
    if (events.length === actions) break;
    const phase = index % 97 === 0 ? "FAILED" : "SUCCEEDED";
    events.push({
      ...run,
      name: `a${index}`,
      parent: group,
      phase,
      task: { name: "sweep.point" },
      updatedTime: time(index * 20 + 3000),
    });
  }
  return events;
}
