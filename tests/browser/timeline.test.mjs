/** The timeline beside the tree: what lies outside of it, tries that came before, narrow windows, the system's colours. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage, runAddress } from "./lib/browser.mjs";
import { Runtree, until } from "./lib/runtree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-bars" };
const BEGAN = Date.parse("2026-04-12T20:00:00.000Z");
const SIZE = { width: 1440, height: 900 };

let runtree, browser;

const say = (second, name, phase, more = {}) => ({
  ...RUN,
  name,
  parent: name === "root" ? null : "root",
  phase,
  ...more,
  updatedTime: new Date(BEGAN + second * 1000).toISOString(),
});

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
  await runtree.report([
    say(0, "root", "RUNNING"),
    say(0, "early", "RUNNING"),
    say(10, "early", "SUCCEEDED"),
    say(0, "again", "RUNNING"),
    say(40, "again", "FAILED", { errorInfo: { kind: "SYSTEM", message: "node lost" } }),
    say(60, "again", "RUNNING", { attempt: 2 }),
    say(100, "again", "SUCCEEDED", { attempt: 2 }),
    say(90, "late", "RUNNING"),
    say(100, "late", "SUCCEEDED"),
    say(100, "root", "SUCCEEDED"),
  ]);
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

/** The colour of a row's bar at a second of the run, [red, green, blue, opacity]; thin bars are below that place. */
function colorAt(page, name, second) {
  return page.evaluate(
    ([rowName, part]) => {
      const canvas = document.querySelector("canvas");
      const area = canvas.getBoundingClientRect();
      const row = document.querySelector(`[data-name="${rowName}"]`).getBoundingClientRect();
      const ratio = canvas.width / area.width;
      const x = Math.round(canvas.width * part);
      const y = Math.round((row.top - area.top + row.height / 2 - 4) * ratio);
      return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data];
    },
    [name, second / 104],
  );
}

const isGreen = ([red, green, , opacity]) => opacity > 200 && green > red + 30;
const isRed = ([red, green, , opacity]) => opacity > 200 && red > green + 30;

/** How much of a row of the canvas is green at its two ends, in pixels. */
function greenAtEnds(page, name) {
  return page.evaluate((rowName) => {
    const canvas = document.querySelector("canvas");
    const area = canvas.getBoundingClientRect();
    const row = document.querySelector(`[data-name="${rowName}"]`).getBoundingClientRect();
    const ratio = canvas.width / area.width;
    const top = Math.round((row.top - area.top) * ratio);
    const part = Math.round(16 * ratio);
    const painted = (x) => {
      const { data } = canvas
        .getContext("2d")
        .getImageData(x, top, part, Math.round(row.height * ratio));
      let count = 0;
      for (let at = 0; at < data.length; at += 4)
        if (data[at + 3] > 200 && data[at + 1] > data[at] + 30) count++;
      return count;
    };
    return [painted(0), painted(canvas.width - part)];
  }, name);
}

/** Waits, frame by frame, until the canvas shows something. */
async function untilPainted(page, isPainted) {
  await until(async () => {
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(drawn)));
    return isPainted();
  }, `the canvas shows it: ${isPainted}`);
}

/** A picture's pixels as [red, green, blue, opacity], taken apart on a page that has no policy against it. */
async function pixels(blank, locator) {
  const picture = (await locator.screenshot()).toString("base64");
  return blank.evaluate(async (data) => {
    const image = await createImageBitmap(
      new Blob([Uint8Array.from(atob(data), (character) => character.charCodeAt(0))]),
    );
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    const { data: bytes } = context.getImageData(0, 0, image.width, image.height);
    return Array.from({ length: bytes.length / 4 }, (_, at) => [
      ...bytes.slice(at * 4, at * 4 + 4),
    ]);
  }, picture);
}

const isColored = (picture) => picture.filter(isGreen).length > 20;

test("rows whose bar lies outside of what is shown say on which side it is; a click opens the action", async () => {
  const page = await openPage(
    await browser.newContext({ viewport: SIZE }),
    runAddress(runtree.url, RUN),
  );
  await page.waitForSelector("[data-name=late]");
  await page.locator("[role=treegrid]").focus();
  for (let step = 0; step < 6; step++) await page.keyboard.press("+");
  await page.waitForSelector(".fit");
  await untilPainted(page, async () => (await greenAtEnds(page, "early"))[0] > 20);
  const [left, right] = await greenAtEnds(page, "late");
  assert.ok(right > 20, `an arrow to the right for what came later: ${right} pixels`);
  assert.equal(left, 0);
  const row = await page.locator("[data-name=late]").boundingBox();
  const area = await page.locator("canvas").boundingBox();
  await page.mouse.click(area.x + area.width / 2, row.y + row.height / 2);
  await page.waitForSelector(".panel h2 > :text-is('late')");
  assertCleanPage(page);
  await page.context().close();
});

test("a bar says nothing of earlier tries before they are known, and keeps what it says", async () => {
  const page = await openPage(await browser.newContext({ viewport: SIZE }), "about:blank");
  const held = [];
  await page.route("**/actions/again", (route) => held.push(route));
  await page.goto(runAddress(runtree.url, RUN));
  await page.waitForSelector("[data-name=late]");
  await untilPainted(page, async () => isGreen(await colorAt(page, "again", 80)));
  const early = await colorAt(page, "again", 20);
  assert.ok(early[3] > 0, "something was there");
  assert.ok(!isGreen(early) && !isRed(early), `it neither failed nor succeeded: ${early}`);
  await until(() => held.length > 0, "the tries are asked for");
  await held.shift().continue();
  await untilPainted(page, async () => isRed(await colorAt(page, "again", 20)));
  assert.ok(isGreen(await colorAt(page, "again", 80)));

  await runtree.report([
    say(101, "again", "RUNNING", { attempt: 3 }),
    say(102, "again", "SUCCEEDED", { attempt: 3 }),
  ]);
  await page.waitForSelector("[data-name=again] .cell-attempt .retry:text-is('×3')");
  assert.ok(isRed(await colorAt(page, "again", 20)), "the first try is drawn as before");
  await until(() => held.length > 0, "what is new is asked for");
  assert.ok(isRed(await colorAt(page, "again", 20)));
  for (const route of held) await route.abort();
  await page.context().close();
});

test("at 1024 pixels with a panel open there are phases, durations and times, and the panel can be wider", async () => {
  const page = await openPage(
    await browser.newContext({ viewport: { width: 1024, height: 768 } }),
    runAddress(runtree.url, RUN, "action=again"),
  );
  await page.waitForSelector(".panel .attempt");
  await page.waitForSelector("[data-name=late]");
  const seen = await page.evaluate(() => {
    const isSeen = (cell) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      const text = range.getBoundingClientRect();
      const box = cell.getBoundingClientRect();
      return text.width > 20 && text.left >= box.left && text.right <= box.right + 1;
    };
    const row = document.querySelector("[data-name=late]");
    return [".cell-phase", ".cell-duration"].filter((cell) => isSeen(row.querySelector(cell)));
  });
  assert.deepEqual(seen, [".cell-phase", ".cell-duration"]);
  await page
    .locator(".axis span", { hasText: /\d:\d\d/ })
    .first()
    .waitFor();
  const width = () => page.locator(".panel").evaluate((panel) => panel.clientWidth);
  const before = await width();
  await page.locator(".panel [role=separator]").focus();
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction((old) => document.querySelector(".panel").clientWidth > old, before);
  const wider = await width();
  await page.reload();
  await page.waitForSelector(".panel .attempt");
  assert.equal(await width(), wider);
  assertCleanPage(page);
  await page.context().close();
});

test("in the system's own colours bars keep theirs, and what is pressed looks so", async () => {
  const context = await browser.newContext({ viewport: SIZE, forcedColors: "active" });
  const blank = await context.newPage();
  const page = await openPage(context, runAddress(runtree.url, RUN));
  await page.waitForSelector("[data-name=late]");
  await page.waitForSelector(".facts .phase-bar");
  assert.ok(isColored(await pixels(blank, page.locator(".facts .phase-bar"))), "the bar of phases");
  await page.waitForSelector("canvas");
  await untilPainted(page, async () => isGreen(await colorAt(page, "late", 95)));
  assert.ok(isColored(await pixels(blank, page.locator("canvas"))), "the timeline");
  const chip = page.locator(".chip[data-phase=SUCCEEDED]");
  const loose = await chip.screenshot();
  await page.goto(runAddress(runtree.url, RUN, "phase=SUCCEEDED"));
  await page.waitForSelector(".chip[data-phase=SUCCEEDED][aria-pressed=true]");
  assert.ok(!loose.equals(await chip.screenshot()), "a pressed chip looks like any other");
  assertCleanPage(page);
  await context.close();
});
