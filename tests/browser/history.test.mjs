/** The run as it was, and beside earlier ones: replay, how slow, compare. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { Runtree, runPath } from "./lib/runtree.mjs";
import { byName, treeOfApi, treeOnPage } from "./lib/tree.mjs";

const NIGHT = { project: "film", domain: "production", runName: "night-history" };

let runtree, browser;

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

test("a replay shows the tree as the API says it was, and ends back at live", async () => {
  await runtree.report(inventRun(NIGHT));
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await openPage(context, runAddress(runtree.url, NIGHT));
  await waitForStream(page, ["Live"]);
  const atEnd = await page.locator("[data-row]").count();
  await page.keyboard.press("r");
  await page.waitForSelector(".replay");
  await page.waitForURL(/at=/);
  assert.equal(await page.locator(".stream").innerText(), "Replay");

  for (const at of ["2026-04-12T20:00:04.500Z", "2026-04-12T20:00:25.000Z"]) {
    await page.goto(runAddress(runtree.url, NIGHT, `at=${at}`));
    await page.reload();
    await page.waitForSelector(`.replay-time[aria-busy=false]`);
    await page.waitForSelector("[data-name='night'] .phase:text-is('Running')");
    const then = await runtree.get(`${runPath(NIGHT)}/tree?at=${at}`);
    assert.deepEqual(byName(await treeOnPage(page)), byName(treeOfApi(then)), at);
    assert.match(await page.locator(".axis .now").textContent(), /^\d\d:00:\d\d\.[05]00$/);
    const days = await page.locator(".axis .day").count();
    assert.equal(days, at.includes("04.5") ? 0 : 1, "the day only where it does not meet that");
  }

  const failures = await page.locator(".why-row time").allTextContents();
  assert.ok(failures.length > 0 && failures.every((time) => time <= "20:00:25.000"), failures);
  await page.locator("[aria-label='Time shown']").focus();
  await page.keyboard.press(",");
  await page.waitForFunction(() => !location.hash.includes("20:00:25.000"));
  await page.locator("[aria-label='Time shown']").press("Home");
  await page.waitForFunction(() => document.querySelectorAll("[data-row]").length === 1);
  await page.selectOption("[aria-label='Speed']", "100");
  await page.click("[aria-label='Play']");
  await page.waitForSelector(".replay", { state: "detached" });
  assert.doesNotMatch(page.url(), /at=/);
  assert.equal(await page.locator(".stream [role=status]").innerText(), "Live");
  await page.waitForFunction(
    (rows) => document.querySelectorAll("[data-row]").length >= rows,
    atEnd,
  );
  assertCleanPage(page);
  await page.close();
});

test("while a replay is open, what happens waits aside", async () => {
  const run = { project: "film", domain: "production", runName: "aside" };
  const say = (name, parent, phase, second) =>
    runtree.report([
      { ...run, name, parent, phase, updatedTime: `2026-04-12T20:00:0${second}.000Z` },
    ]);
  await say("root", null, "RUNNING", 0);
  await say("one", "root", "RUNNING", 2);
  const page = await openPage(
    await browser.newContext(),
    runAddress(runtree.url, run, "at=2026-04-12T20:00:01.000Z"),
  );
  await page.waitForFunction(() => document.querySelectorAll("[data-row]").length === 1);
  await say("two", "root", "RUNNING", 3);
  await page.locator("[aria-label='On to the next change']").click();
  await page.waitForSelector("[data-name='one']");
  assert.equal(await page.locator("[data-name='two']").count(), 0);
  assert.equal(await page.locator("button:has-text('Abort')").count(), 0);
  await page.click(".replay .button:has-text('Back to live')");
  await page.waitForSelector("[data-name='two']");
  assertCleanPage(page);
  await page.close();
});

const TASK = { name: "etl.nightly" };

/** A run of three loads, of which one can be slow, and what follows on them; `began` in milliseconds since 1970. */
function flow(runName, began, { slow = 10, ends = 99, extra = [], failed = "", title } = {}) {
  const run = { project: "etl", domain: "production", runName };
  const timed = [];
  const say = (second, name, phase, more = {}) => {
    const updatedTime = new Date(began + second * 1000).toISOString();
    if (second <= ends) timed.push({ ...run, name, phase, updatedTime, ...more });
  };
  say(0, "root", "RUNNING", { parent: null, task: TASK, ...(title ? { run: { title } } : {}) });
  for (let part = 0; part < 6; part++) {
    const took = part === 3 ? slow : 10 + part / 10;
    const name = `load-${part}`;
    const phase = name === failed ? "FAILED" : "SUCCEEDED";
    say(0, name, "RUNNING", { parent: "root", task: { name: "etl.load" } });
    say(took, name, phase);
  }
  say(slow, "merge", "RUNNING", { parent: "root", dependsOn: ["load-0", "load-3"] });
  say(slow + 10, "merge", "SUCCEEDED");
  for (const name of extra) {
    say(1, name, "RUNNING", { parent: "root", task: { name: `etl.${name}` } });
    say(2, name, "SUCCEEDED");
  }
  say(slow + 11, "root", failed ? "FAILED" : "SUCCEEDED");
  return timed;
}

const etl = (runName) => ({ project: "etl", domain: "production", runName });
const DAY = 86_400_000;

test("a run that goes on tells how long it will by the run before, and what is slow in it", async () => {
  const now = Date.now();
  await runtree.report(flow("nightly-1", now - 2 * DAY, { extra: ["tidy"] }));
  await runtree.report(flow("nightly-2", now - DAY, { failed: "load-2" }));
  await runtree.report([
    { ...etl("another"), name: "root", parent: null, phase: "SUCCEEDED", task: { name: "other" } },
  ]);
  await runtree.report(flow("nightly-3", now - 60_000, { slow: 90, ends: 60, extra: ["check"] }));

  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await openPage(context, "about:blank");
  const trees = [];
  page.on("request", (request) => request.url().includes("/tree") && trees.push(request.url()));
  await page.goto(runAddress(runtree.url, etl("nightly-3")));
  await page.waitForSelector(".pace:has-text('left')");
  assert.match(await page.locator(".pace").innerText(), /^[\d.]+\/(s|min) · about \d+ s left$/);
  assert.deepEqual(
    trees.map((url) => new URL(url).pathname),
    [`${runPath(etl("nightly-1"))}/tree`],
    "of the newest that succeeded, once",
  );
  const slow = page.locator("[data-name='load-3'] .cell-duration");
  assert.match(
    await slow.getAttribute("title"),
    /^\d\.\d times the median of 5 like it, 10\.\d s$/,
  );
  assert.match(await page.locator(".tag.outlier").innerText(), /^\d\.\d× as long$/);
  await page.setViewportSize({ width: 1024, height: 768 });
  const middles = await page
    .locator("h1, .stream, .top-right .button:visible")
    .evaluateAll((all) => all.map((each) => each.getBoundingClientRect()))
    .then((boxes) => boxes.map(({ top, bottom }) => (top + bottom) / 2));
  assert.ok(Math.max(...middles) - Math.min(...middles) < 8, `one line of buttons: ${middles}`);
  await page.setViewportSize({ width: 1440, height: 900 });

  const ghosts = () =>
    page.evaluate(() => {
      const canvas = document.querySelector("canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 30 + 6, canvas.width, 1);
      let pale = 0;
      for (let at = 3; at < data.length; at += 4) if (data[at] > 20 && data[at] < 80) pale++;
      return pale;
    });
  assert.ok((await ghosts()) > 20, "a pale bar behind that of load-0");
  await page.locator("canvas").hover({ position: { x: 20, y: 45 } });
  await page.waitForSelector(".tip:has-text('the run before took 10.0 s')");
  assertCleanPage(page);

  const over = await openPage(context, runAddress(runtree.url, etl("nightly-2")));
  trees.length = 0;
  await waitForStream(over, ["Live"]);
  assert.equal(await over.locator(".pace").count(), 0);
  assert.deepEqual(trees, [], "nothing is fetched for a run that is over");
  await context.close();
});

test("the critical path follows what depends on what, by a key and in the address", async () => {
  const page = await openPage(
    await browser.newContext(),
    runAddress(runtree.url, etl("nightly-2")),
  );
  await waitForStream(page, ["Live"]);
  const marked = () =>
    page
      .locator("[data-row]:has(.critical)")
      .evaluateAll((rows) => rows.map((row) => row.dataset.name));
  assert.deepEqual(await marked(), []);
  await page.keyboard.press("p");
  await page.waitForSelector(".critical");
  assert.deepEqual(await marked(), ["load-0", "merge"].sort());
  assert.match(page.url(), /critical=on/);
  await page.goBack();
  await page.waitForSelector(".critical", { state: "detached" });
  assertCleanPage(page);
  await page.close();
});

test("two runs side by side: failed now, slower, new and gone, from the keyboard", async () => {
  await runtree.report(
    flow("nightly-4", Date.now() - DAY / 2, { slow: 25, failed: "load-2", extra: ["check"] }),
  );
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await openPage(context, runAddress(runtree.url, etl("nightly-4")));
  await waitForStream(page, ["Live"]);
  await page.keyboard.press("v");
  await page.waitForURL(/compare=\./);
  const rows = () =>
    page
      .locator("[data-compared]")
      .evaluateAll((all) =>
        all.map((row) =>
          [row.dataset.comparedName, row.children[1].textContent, row.children[4].textContent].join(
            " ",
          ),
        ),
      );
  await page.waitForSelector("[data-compared-name='tidy']");
  assert.deepEqual((await rows()).slice(0, 6), [
    "root Failed now +15.0 s×1.7",
    "load-2 Failed now ",
    "load-3 Slower +15.0 s×2.5",
    "check New ",
    "tidy Gone ",
    "load-0 The same ",
  ]);
  const like = page.locator("optgroup[label='The same task or title'] option");
  assert.deepEqual(await like.evaluateAll((options) => options.map(({ value }) => value).sort()), [
    "nightly-1",
    "nightly-2",
    "nightly-3",
  ]);
  await page.locator("[role=grid]").focus();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/action=load-2/);
  await page.keyboard.press("Escape");
  await page.click(".chip:has-text('Slower')");
  await page.waitForFunction(() => document.querySelectorAll("[data-compared]").length === 1);
  await page.selectOption("[aria-label='Compare with']", "nightly-2");
  await page.waitForURL(/compare=nightly-2/);
  await page.reload();
  await page.waitForSelector("[data-compared-name='load-3'] .change-slower");
  assert.equal((await rows()).filter((row) => row.includes("Failed now")).length, 0);
  await page.click("[aria-label='Close the comparison']");
  await page.waitForSelector("[role=treegrid]");
  assertCleanPage(page);

  const alone = await openPage(context, runAddress(runtree.url, NIGHT, "compare=."));
  await alone.waitForSelector("text=No earlier run of the same task has succeeded.");
  await context.close();
});

test("no number and no button of a replay or a comparison is cut off, on a phone neither", async () => {
  for (const viewport of [
    { width: 1440, height: 900 },
    { width: 390, height: 780 },
    { width: 320, height: 640 },
  ]) {
    const context = await browser.newContext({ viewport });
    for (const query of ["at=2026-04-12T20:00:25.000Z", "compare=nightly-1&critical=on"]) {
      const run = query.startsWith("at") ? NIGHT : etl("nightly-4");
      const page = await openPage(context, runAddress(runtree.url, run, query));
      await page.waitForSelector(
        query.startsWith("at") ? ".replay-time[aria-busy=false]" : "[data-compared]",
      );
      const cut = await page
        .locator(".toolbar-right .button:visible")
        .evaluateAll((all) => all.filter((one) => one.getBoundingClientRect().right > innerWidth));
      assert.equal(cut.length, 0);
      const short = await page
        .locator(".compare .row .number, .compare .row .cut-tail")
        .evaluateAll((all) =>
          all
            .flatMap((one) =>
              one.matches(".number")
                ? [...one.childNodes].filter(({ nodeType, data }) => nodeType === 3 && data)
                : [one],
            )
            .filter((part) => {
              const cell = part.parentElement.closest(".cell").getBoundingClientRect();
              const range = document.createRange();
              range.selectNodeContents(part);
              const { left, right } = range.getBoundingClientRect();
              return left < cell.left - 1 || right > cell.right + 1;
            })
            .map((part) => part.textContent),
        );
      assert.deepEqual(short, [], `cut off at ${viewport.width}`);
      await page.close();
    }
    await context.close();
  }
});
