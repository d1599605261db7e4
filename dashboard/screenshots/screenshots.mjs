/** The dashboard's pictures, light and dark: the runs, a run in the middle and one that failed, its timeline, an action, the
 *  run compared with the one before and as it was, and a phone. */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { launch, openPage, runAddress, waitForStream } from "../../tests/browser/lib/browser.mjs";
import { Runtree } from "../../tests/browser/lib/runtree.mjs";

const folder = process.argv[2];
const VIEWPORT = { width: 1360, height: 800 };
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const TERMINAL = ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "RECOVERED"];

/** An invented run's events that have happened by `endsMs`. */
async function invent({ seed, runName, beganMs, endsMs = Date.now(), ...key }) {
  const script = fileURLToPath(new URL("invented_events.py", import.meta.url));
  const { stdout } = await promisify(execFile)(
    "python3",
    [script, String(seed), runName, String(beganMs / 1000)],
    { maxBuffer: 1 << 26 },
  );
  const events = stdout
    .trim()
    .split("\n")
    .map((line) => ({ ...JSON.parse(line), ...key }));
  return events.filter(({ updatedTime }) => Date.parse(updatedTime) <= endsMs);
}

/** What a controller reports when it gives a run up: the root has failed, and all that was open is aborted. */
function givenUp(events, atMs) {
  const open = new Map();
  for (const event of events) open.set(event.name, event);
  return [...open.values()]
    .filter(({ phase }) => !TERMINAL.includes(phase))
    .map(({ project, domain, runName, name, attempt }) => ({
      ...{ project, domain, runName, name, attempt },
      phase: name === "a0" ? "FAILED" : "ABORTED",
      updatedTime: new Date(atMs).toISOString(),
    }));
}

async function fill(runtree) {
  const now = Date.now();
  const days = [4, 3, 2, 1].map((day) => ({
    runName: `nightly-${44 - day}`,
    beganMs: now - day * 24 * HOUR - 40 * MINUTE,
  }));
  for (const [index, day] of days.entries())
    await runtree.report(await invent({ seed: index + 1, ...day }));
  const broken = {
    seed: 9,
    runName: "backfill-7",
    project: "demo",
    domain: "staging",
    beganMs: now - 5 * HOUR,
  };
  const events = await invent({ ...broken, endsMs: broken.beganMs + 11 * MINUTE });
  await runtree.report([...events, ...givenUp(events, broken.beganMs + 11 * MINUTE)]);
  await runtree.report(
    await invent({ seed: 6, runName: "nightly-44", beganMs: now - 10.5 * MINUTE }),
  );
  await runtree.report(
    await invent({
      seed: 5,
      runName: "retrain-19",
      project: "ads",
      domain: "production",
      beganMs: now - 3 * MINUTE,
    }),
  );
}

const RUN = { project: "demo", domain: "development", runName: "nightly-44" };
const BROKEN = { project: "demo", domain: "staging", runName: "backfill-7" };
const PHONE = { width: 390, height: 844 };

const PICTURES = [
  { name: "runs", address: (base) => base, ready: (page) => page.waitForSelector(".runs") },
  {
    name: "run",
    address: (base) => runAddress(base, RUN),
    ready: (page) => page.waitForSelector("[data-row]"),
  },
  {
    name: "timeline",
    address: (base) => runAddress(base, RUN, `zoom=${Date.now() - 3 * MINUTE}-${Date.now()}`),
    ready: async (page) => {
      await page.waitForSelector(".button.fit");
      await page.locator("[role=treegrid]").focus();
      for (const key of ["x", "End"]) await page.keyboard.press(key);
    },
  },
  {
    name: "action",
    address: (base) => runAddress(base, RUN, "phase=FAILED,TIMED_OUT,RUNNING"),
    ready: async (page) => {
      await page.locator("[role=treegrid]").focus();
      await page.keyboard.press("n");
      await page.keyboard.press("n");
      await page.keyboard.press("Enter");
      await page.waitForSelector(".attempt");
    },
  },
  {
    name: "replay",
    address: (base) => runAddress(base, BROKEN),
    ready: async (page) => {
      await page.keyboard.press("r");
      const slider = page.locator("[aria-label='Time shown']");
      const { width, height } = await slider.boundingBox();
      await slider.click({ position: { x: width * 0.6, y: height / 2 } });
    },
  },
  {
    name: "compare",
    address: (base) => runAddress(base, { ...RUN, runName: "nightly-43" }, "compare=nightly-42"),
    ready: (page) => page.waitForSelector("[data-compared]"),
  },
  { name: "failed", address: (base) => runAddress(base, BROKEN), ready: hasCauses },
  { name: "phone", viewport: PHONE, address: (base) => runAddress(base, BROKEN), ready: hasCauses },
];

function hasCauses(page) {
  return page.waitForSelector(".why-row");
}

await mkdir(folder, { recursive: true });
const runtree = await Runtree.start();
const browser = await launch();
try {
  await fill(runtree);
  for (const colorScheme of ["light", "dark"]) {
    for (const { name, address, ready, viewport = VIEWPORT } of PICTURES) {
      const context = await browser.newContext({
        viewport,
        colorScheme,
        reducedMotion: "reduce",
      });
      const page = await openPage(context, address(runtree.url));
      await waitForStream(page, ["Live"]);
      await ready(page);
      await page.waitForTimeout(1500);
      const path = join(folder, `${name}-${colorScheme}.png`);
      await page.screenshot({ path });
      console.log(path);
      await context.close();
    }
  }
} finally {
  await browser.close();
  await runtree.remove();
}
