/** Whatever things are called and however wide the window is: all of it can be read, and nothing lies over anything. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage, runAddress } from "./lib/browser.mjs";
import { Runtree } from "./lib/runtree.mjs";
import { byRow, overlaps, seen, settlesWithout } from "./lib/screen.mjs";

const LONG = {
  project: `genomics-${"pipelines-of-the-department-".repeat(2)}`.slice(0, 63),
  domain: "production-of-the-whole-department-and-its-guests",
  runName: "scheduled__2026-04-12T20:00:00.000000",
};
const OTHER = { ...LONG, runName: "scheduled__2026-04-13T20:00:00.000000" };
const SHORT = { project: "times", domain: "production" };
const DEEPEST = 24;
const PARTS = 12;
const GROUP = "the partitions of the table of samples by their month, of the asset no.";
const BEGAN = Date.parse("2026-04-12T20:00:00.000Z");

/** Sizes of the window, each with what else makes a difference. */
const WINDOWS = [
  { viewport: { width: 1440, height: 1100 } },
  { viewport: { width: 1024, height: 1100 }, colorScheme: "dark" },
  { viewport: { width: 1024, height: 1100 }, opensPanel: true },
  { viewport: { width: 390, height: 1100 } },
  { viewport: { width: 390, height: 1100 }, showsTimeline: true },
  { viewport: { width: 720, height: 1100 }, forcedColors: "active" },
];

let runtree, browser;

const at = (seconds) => new Date(BEGAN + seconds * 1000).toISOString();
const stage = (level) => `stage-of-the-whole-pipeline-${level}`;

/** A run 24 levels deep with tasks of one name at the bottom, retried, slow and failed ones among them. */
function deepRun() {
  const events = [];
  const say = (name, seconds, phase, more = {}) =>
    events.push({ ...LONG, name, phase, updatedTime: at(seconds), ...more });
  for (let level = 1; level <= DEEPEST; level++)
    say(stage(level), level, "RUNNING", { parent: level === 1 ? null : stage(level - 1) });
  const task = { name: "pipelines.cleaning.clean_shard", shortName: "clean_shard" };
  for (let part = 0; part < PARTS; part++) {
    const name = `${stage(DEEPEST)}.clean_shard.of-the-samples-part-${String(part).padStart(4, "0")}`;
    const parent = stage(DEEPEST);
    say(name, 30, "RUNNING", { parent, task });
    if (part === 3) {
      say(name, 31, "FAILED", { errorInfo: { kind: "SYSTEM", message: "node lost" } });
      say(name, 32, "RUNNING", { attempt: 2 });
      say(name, 41, "SUCCEEDED", { attempt: 2 });
    } else if (part === 5) {
      const message = `OSError: no space is left ${"in any of the folders ".repeat(8)}`;
      say(name, 40, "FAILED", { errorInfo: { kind: "USER", message } });
    } else say(name, part === 4 ? 300 : 40, "SUCCEEDED");
  }
  for (let part = 0; part < 4; part++)
    say(`${stage(1)}.clean_shard.of-the-samples-part-${part}`, 40, "RUNNING", {
      parent: stage(1),
      task,
    });
  for (let part = 0; part < 3; part++)
    say(`grouped-${part}`, 50, "RUNNING", {
      parent: stage(1),
      group: `${GROUP} ${part}`,
      task: { name: "transform_partition" },
    });
  say("waits-for-the-approval-of-the-department", 51, "WAITING_FOR_RESOURCES", {
    parent: stage(1),
  });
  return events;
}

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
  await runtree.report(deepRun());
  await runtree.report([
    {
      ...{ ...OTHER, name: "a0", parent: null, phase: "RUNNING", updatedTime: at(0) },
      run: { labels: { team: "whoever sees to the pipeline or to a part of it" } },
    },
    {
      ...OTHER,
      name: "a0",
      phase: "FAILED",
      updatedTime: at(1),
      errorInfo: { kind: "USER", message: "the cause of it" },
    },
  ]);
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

const LAST = "waits-for-the-approval-of-the-department";

const opened = [];

/** The deep run in each of the windows, each opened once. */
async function openWindows() {
  for (const { viewport, opensPanel, showsTimeline, ...how } of opened.length ? [] : WINDOWS) {
    const context = await browser.newContext({ viewport, ...how });
    if (showsTimeline)
      await context.addInitScript(() => localStorage.setItem("runtree.timeline", "on"));
    const query = opensPanel ? `action=${stage(1)}` : "";
    const page = await openPage(context, runAddress(runtree.url, LONG, query));
    await page.waitForSelector(`[data-name='${stage(1)}']`);
    if (opensPanel) await page.waitForSelector(".panel .attempt");
    const more = `${opensPanel ? ", panel" : ""}${showsTimeline ? ", timeline" : ""}`;
    opened.push({ page, where: `at ${viewport.width}${more}` });
  }
  return opened;
}

/** What `look` finds in each of the windows, scrolled to the first rows or the last ones. */
async function inEveryWindow(place, look) {
  const found = [];
  for (const { page, where } of await openWindows()) {
    await page.bringToFront();
    await page.evaluate((isEnd) => {
      const tree = document.querySelector("[role=treegrid]");
      tree.scrollTop = isEnd ? tree.scrollHeight : 0;
    }, place === "end");
    await page.waitForSelector(`[data-name='${place === "end" ? LAST : stage(1)}']`);
    await settlesWithout(() => look(page), where).catch(({ message }) => found.push(message));
    assertCleanPage(page);
  }
  assert.deepEqual(found, []);
}

const NAME = ".row .cell-name";

/** The names' cells of the rows that are shown whole. */
const shownRows = (page) =>
  page.locator(".row").evaluateAll((rows) => {
    const { top, bottom } = document.querySelector(".tree").getBoundingClientRect();
    return rows
      .filter((row) => {
        const box = row.getBoundingClientRect();
        return box.top >= top + 32 && box.bottom <= bottom;
      })
      .map((row) => row.dataset.name);
  });

test("names are there at any depth, and no row's parts lie over each other", async () => {
  await inEveryWindow("end", async (page) => {
    const names = byRow(await seen(page, NAME));
    const rows = await shownRows(page);
    const problems = [
      ...overlaps(await seen(page, ".heading")),
      ...overlaps(await seen(page, ".row")),
    ];
    if (!rows.includes(stage(DEEPEST))) problems.push("the deepest level is not on the screen");
    for (const row of rows)
      if (!/[\w-]{5}/.test(names.get(row) ?? "")) problems.push(`${row}: "${names.get(row)}"`);
    return problems;
  });
});

test("each level is further to the right than the one above it, the deepest too", async () => {
  await inEveryWindow("start", async (page) => {
    const lefts = await page
      .locator(".row .label")
      .evaluateAll((labels) => labels.map((label) => label.getBoundingClientRect().left));
    return lefts
      .slice(1, DEEPEST)
      .flatMap((left, index) => (left > lefts[index] + 1 ? [] : [`level ${index + 2} is not`]));
  });
});

test("names that differ at their ends can be told apart in the tree", async () => {
  await inEveryWindow("end", async (page) => {
    const names = byRow(await seen(page, NAME));
    const rows = (await shownRows(page)).reverse();
    return rows.flatMap((row, index) => {
      const same = rows.slice(0, index).find((other) => names.get(other) === names.get(row));
      return same ? [`${same} and ${row} are both "${names.get(row)}"`] : [];
    });
  });
});

test("names that differ only above their ends can be told apart in the table, where nothing is above", async () => {
  const run = { ...SHORT, runName: "alike" };
  const say = (name, parent, task) => ({
    ...{ ...run, name, parent, phase: "RUNNING", updatedTime: at(0) },
    ...(task ? { task: { name: task } } : {}),
  });
  const trials = Array.from({ length: 8 }, (_, trial) => `tune.trial-${trial}`);
  await runtree.report([
    say("tune", null),
    ...trials.flatMap((trial) => [
      say(trial, "tune", "models.trial"),
      say(`${trial}.train`, trial, "models.train_it"),
    ]),
  ]);
  const context = await browser.newContext({ viewport: { width: 390, height: 1000 } });
  const page = await openPage(context, runAddress(runtree.url, run, "sort=name"));
  await page.waitForSelector("[data-name='tune.trial-7.train']");
  await settlesWithout(async () => {
    const names = [...byRow(await seen(page, NAME)).values()];
    return names.filter((name, index) => names.indexOf(name) !== index);
  }, "the table");
  await context.close();
});

test("a long group leaves the name, the phase and the attempt to be read", async () => {
  await inEveryWindow("end", async (page) => {
    const problems = [];
    for (let part = 0; part < 3; part++) {
      const row = `[data-name='grouped-${part}']`;
      const things = await seen(page, row);
      problems.push(...overlaps(things));
      const said = things.map(({ text }) => text).join("");
      if (!/trans|ition/.test(said)) problems.push(`no name in "${said}"`);
      if (/asset|the part/.test(said) && !said.includes(`no. ${part}`))
        problems.push(`which group is it in "${said}"?`);
      const inSight = await page.locator(`${row} .phase`).evaluate((phase) => {
        const { left, top, height } = phase.getBoundingClientRect();
        const hit = document.elementFromPoint(left + 7, top + height / 2);
        return phase.contains(hit);
      });
      if (!inSight) problems.push("something lies over the phase");
    }
    return problems;
  });
});

test("long names in the bars above leave room for everything else, and keep their ends", async () => {
  const found = [];
  const tree = [runAddress(runtree.url, LONG), "[role=treegrid]"];
  const list = [`${runtree.url}/#/?project=${LONG.project}`, ".runs tbody th"];
  const replay = [runAddress(runtree.url, LONG, `at=${at(45)}`), ".replay"];
  const compare = [
    runAddress(runtree.url, OTHER, `compare=${LONG.runName}`),
    ".compare-bar select",
  ];
  for (const [width, [address, ready]] of [
    ...[1440, 1024, 820, 641, 390, 320].map((each) => [each, tree]),
    ...[1440, 390, 320].flatMap((each) => [
      [each, list],
      [each, replay],
      [each, compare],
    ]),
  ]) {
    const context = await browser.newContext({ viewport: { width, height: 900 } });
    const page = await openPage(context, address);
    // A page that has no replay and no comparison shows the run.
    await page.waitForSelector(`${ready}, [role=treegrid]`);
    const look = async () => {
      const bars = await seen(page, ".top, .toolbar, .run-facts, .why, .replay, .compare-bar");
      const problems = overlaps(bars);
      for (const { text, right, class: name } of bars)
        if (right > width + 1) problems.push(`${text || name} is cut off`);
      // What cannot be clicked because something lies over it.
      const covered = await page.locator(".top-right > *").evaluateAll((parts) =>
        parts.flatMap((part) => {
          const { left, right, top, height, width: wide } = part.getBoundingClientRect();
          if (wide === 0) return [];
          const hit = document.elementFromPoint((left + right) / 2, top + height / 2);
          return part.contains(hit) || hit?.contains(part) ? [] : [part.textContent];
        }),
      );
      problems.push(...covered.map((text) => `something lies over "${text}"`));
      if (ready === list[1]) return problems;
      const title = (await seen(page, ".top h1")).map(({ text }) => text).join("");
      return title.endsWith("20:00:00.000000") ? problems : [...problems, `the run is "${title}"`];
    };
    await settlesWithout(look, `${ready} at ${width}`).catch(({ message }) => found.push(message));
    assertCleanPage(page);
    await context.close();
  }
  assert.deepEqual(found, []);
});

test("a name that is written from right to left is read from there, and its end is kept at the left", async () => {
  const run = { ...SHORT, runName: "from-right" };
  const words = ["مهمة", "تنظيف", "البيانات", "التي", "وصلت", "متأخرة", "رقم", "واحد"];
  const name = words.join("-");
  await runtree.report([{ ...run, name, parent: null, phase: "RUNNING", updatedTime: at(0) }]);
  for (const width of [1440, 320]) {
    const context = await browser.newContext({ viewport: { width, height: 700 } });
    const page = await openPage(context, runAddress(runtree.url, run));
    const row = page.locator(`[data-name="${name}"] .label`);
    await row.waitFor();
    assert.equal(await row.textContent(), name);
    const places = await row.evaluate((label, words) => {
      const nodes = document.createTreeWalker(label, NodeFilter.SHOW_TEXT);
      const found = {};
      for (let node = nodes.nextNode(); node; node = nodes.nextNode())
        for (const word of words) {
          const start = node.data.indexOf(word);
          if (start < 0) continue;
          const range = document.createRange();
          range.setStart(node, start);
          range.setEnd(node, start + word.length);
          found[word] = range.getBoundingClientRect().left;
        }
      return words.map((word) => found[word]);
    }, words);
    if (width === 1440)
      assert.deepEqual(
        places,
        [...places].sort((a, b) => b - a),
      );
    const read = byRow(await seen(page, `[data-name="${name}"] .label`)).get(name);
    assert.match(read, /رقم-واحد/, `at ${width}`);
    await context.close();
  }
});

test("a name that is cut is copied whole, in one line", async () => {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 } });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await openPage(context, runAddress(runtree.url, LONG));
  await page.waitForSelector(`[data-name='${stage(1)}']`);
  await page.click(".top h1");
  await page.keyboard.press("Control+c");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), LONG.runName);
  assertCleanPage(page);
  await context.close();
});

test("runs whose names differ at their ends can be told apart in the list, with where they are and why they failed", async () => {
  const found = [];
  for (const viewport of [
    { width: 1440, height: 900 },
    { width: 390, height: 844 },
    { width: 320, height: 640 },
  ]) {
    const context = await browser.newContext({ viewport });
    const page = await openPage(context, `${runtree.url}/#/?project=${LONG.project}`);
    await page.waitForFunction(() => document.querySelectorAll(".runs tbody th").length === 2);
    const look = async () => {
      const [first, second] = byRow(await seen(page, ".runs tbody th a")).values();
      const all = [...byRow(await seen(page, ".runs tbody tr")).values()].join();
      const problems = first === second ? [`both are "${first}"`] : [];
      if (!/s-guests/.test(all)) problems.push(`no domain in "${all}"`);
      if (!/the caus/.test(all)) problems.push(`no reason in "${all}"`);
      for (const { text } of await seen(page, ".runs .label-tag"))
        if (!/^team: .*of it$/.test(text)) problems.push(`a label is cut to "${text}"`);
      return problems;
    };
    await settlesWithout(look, `at ${viewport.width}`).catch(({ message }) => found.push(message));
    await context.close();
  }
  assert.deepEqual(found, []);
});

test("on a phone what takes far longer than its like says so in words", async () => {
  await inEveryWindow("end", async (page) => {
    const texts = (await seen(page, `[data-name$='part-0004']`)).map(({ text }) => text.trim());
    return texts.some((text) => /slow|as long/.test(text)) ? [] : [texts.join("|")];
  });
});

test("the axis' labels never meet, whatever the zoom, the run's length and the way times are told", async () => {
  const lengths = { "twelve-seconds": 12, "over-night": 8 * 3600, "two-hundred-days": 200 * 86400 };
  for (const [runName, seconds] of Object.entries(lengths))
    await runtree.report([
      { ...SHORT, runName, name: "a0", parent: null, phase: "RUNNING", updatedTime: at(7) },
      { ...SHORT, runName, name: "a0", phase: "SUCCEEDED", updatedTime: at(7 + seconds) },
    ]);
  const live = { ...SHORT, runName: "live" };
  const now = new Date(Date.now() - 12_000).toISOString();
  await runtree.report([{ ...live, name: "a0", parent: null, phase: "RUNNING", updatedTime: now }]);
  const found = new Set();
  const look = async (width, runName) => {
    const timezoneId = "Asia/Kolkata"; // whose hours are not UTC's
    const context = await browser.newContext({ viewport: { width, height: 700 }, timezoneId });
    await context.addInitScript(() => localStorage.setItem("runtree.timeline", "on"));
    const page = await openPage(context, runAddress(runtree.url, { ...SHORT, runName }));
    await page.waitForSelector("[data-name=a0]");
    await page.waitForSelector(".axis span");
    // All in the page: a frame is looked at after each key, so that nothing depends on when it is looked at.
    const met = await page.evaluate(async () => {
      const frame = () => new Promise(requestAnimationFrame);
      const problems = [];
      const look = (when) => {
        const cell = document.querySelector(".axis-cell").getBoundingClientRect();
        const labels = [...document.querySelectorAll(".axis span")].map((label) => {
          const range = document.createRange();
          range.selectNodeContents(label);
          const { left, right } = range.getBoundingClientRect();
          return { text: label.textContent, left, right };
        });
        labels.sort((a, b) => a.left - b.left);
        if (labels.length === 0) problems.push(`${when}: no label`);
        labels.forEach(({ text, left, right }, index) => {
          const next = labels[index + 1];
          if (next && right > next.left) problems.push(`${when}: "${text}" and "${next.text}"`);
          if (left < cell.left - 1 || right > cell.right + 1)
            problems.push(`${when}: "${text}" is cut off`);
        });
      };
      const press = (key) =>
        document
          .querySelector("[role=treegrid]")
          .dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      for (const style of ["local", "UTC", "relative"]) {
        look(`fit, ${style}`);
        if (location.hash.includes("over-night"))
          for (const { textContent } of document.querySelectorAll(".axis .tick"))
            if (!/^\+\d h 00 m$|^(.* )?\d\d:00$/.test(textContent))
              problems.push(`not round: ${textContent}, ${style}`);
        for (let step = 1; step <= 22; step++) {
          press("+");
          await frame();
          await frame();
          look(`step ${step}, ${style}`);
        }
        press("0");
        press("z");
        await frame();
        await frame();
      }
      return problems;
    });
    for (const problem of met) found.add(`${runName} at ${width}: ${problem}`);
    await context.close();
  };
  // Together, for most of it is waiting for frames.
  const names = [...Object.keys(lengths), "live"];
  await Promise.all([1440, 390].flatMap((width) => names.map((name) => look(width, name))));
  assert.deepEqual([...found], []);
});

test("what is told of a bar is on the screen, beside its row, at the lowest one and for the longest name", async () => {
  const run = { ...SHORT, runName: "tips" };
  const title = "a title that goes on for as long as titles may ".repeat(9).trim();
  await runtree.report([
    { ...run, name: "a0", parent: null, phase: "RUNNING", updatedTime: at(0) },
    ...Array.from({ length: 60 }, (_, part) => ({
      ...run,
      name: `part-${part}`,
      parent: "a0",
      phase: "RUNNING",
      updatedTime: at(1),
      ...(part % 2 ? { title } : {}),
    })),
  ]);
  const found = [];
  for (const viewport of [
    { width: 1440, height: 900 },
    { width: 1440, height: 500 },
    { width: 390, height: 700 },
  ]) {
    const context = await browser.newContext({ viewport });
    await context.addInitScript(() => localStorage.setItem("runtree.timeline", "on"));
    const page = await openPage(context, runAddress(runtree.url, run));
    await page.waitForSelector("[data-name=part-20]", { state: "attached" });
    const tree = await page.locator(".tree").boundingBox();
    const canvas = await page.locator("canvas.timeline").boundingBox();
    const rows = (await shownRows(page)).slice(-2);
    for (const name of ["part-0", "part-1", ...rows])
      for (const part of [0.05, 0.5, 0.95]) {
        const row = await page.locator(`[data-name='${name}']`).boundingBox();
        await page.mouse.move(canvas.x + canvas.width * part, row.y + row.height / 2);
        const look = async () => {
          const tip = await page.locator(".tip").boundingBox();
          const told = tip && (await page.locator(".tip").innerText());
          if (!told?.match(new RegExp(`${name}\\b`))) return [`told is ${told}`];
          const problems = [];
          if (tip.x < 0 || tip.x + tip.width > viewport.width) problems.push("it is cut off");
          if (tip.y < tree.y || tip.y + tip.height > viewport.height)
            problems.push(`it is from ${tip.y} to ${tip.y + tip.height}`);
          const hides = tip.y < row.y + row.height - 8 && tip.y + tip.height > row.y + 8;
          const isHit =
            tip.x < canvas.x + canvas.width * part &&
            tip.x + tip.width > canvas.x + canvas.width * part;
          if (hides && isHit) problems.push("it lies over the bar");
          return problems;
        };
        await settlesWithout(
          look,
          `${name} at ${part} of ${viewport.width} x ${viewport.height}`,
          2,
        ).catch(({ message }) => found.push(message));
      }
    await context.close();
  }
  assert.deepEqual(found, []);
});
