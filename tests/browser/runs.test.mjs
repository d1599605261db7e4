/** The list of runs: empty, a first run, live, filtered; and the sample run. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { runPath, Runtree, until } from "./lib/runtree.mjs";
import { byName, treeOfApi, treeOnPage } from "./lib/tree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-2" };

let runtree, browser, page;

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
  page = await openPage(
    await browser.newContext({ viewport: { width: 1440, height: 1200 } }),
    runtree.url,
  );
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

const names = () => page.locator(".runs tbody th a").allInnerTexts();

test("an empty server shows commands that make a run when they are pasted into a shell", async () => {
  await page.waitForSelector("text=No runs yet");
  const commands = await page.locator(".commands pre").innerText();
  const { stdout } = await promisify(execFile)("sh", ["-c", commands]);
  assert.equal(stdout.match(/"applied"/g).length, 4);
  await page.waitForSelector(".runs");
  assert.deepEqual(await names(), ["hello-1"]);
  await page.waitForSelector(".runs tbody tr .phase:text-is('Succeeded')");
});

test("the list is live, newest first by the time that it shows", async () => {
  const row = ".runs tbody tr:has(:text-is('night-2'))";
  const events = inventRun(RUN);
  await runtree.report(events.slice(0, 300));
  await page.waitForSelector(row);
  assert.deepEqual(await names(), ["hello-1", "night-2"]);
  await runtree.report(events.slice(300));
  const { actionCount } = await runtree.get(runPath(RUN));
  await page.waitForFunction(
    (count) =>
      document.querySelector(".runs tbody tr:last-child .col-actions").textContent ===
      String(count),
    actionCount,
  );
  await page.waitForSelector(`${row} .phase:text-is('Succeeded')`);
  assert.match(
    await page.locator(`${row} .phase-bar`).getAttribute("aria-label"),
    /failed.*succeeded/,
  );
});

test("phase, text and project filter it, in the address too, and a run that comes to match appears", async () => {
  const waiting = { ...RUN, runName: "night-3" };
  await page.click(".chip[data-phase=PAUSED]");
  await page.waitForSelector("text=No run matches");
  assert.match(page.url(), /phase=PAUSED/);
  await runtree.report([{ ...waiting, name: "a0", parent: null, phase: "RUNNING" }]);
  await runtree.report([{ ...waiting, name: "a0", phase: "PAUSED", version: 1 }]);
  await page.waitForSelector(".runs a:has(:text-is('night-3'))");
  await runtree.report([{ ...waiting, name: "a0", phase: "ABORTED" }]);
  await page.waitForSelector("text=No run matches");
  await page.click("text=Clear the filter");
  await page.waitForSelector(".runs");

  await page.fill("input[type=search]", "NIGHT");
  await page.waitForURL(/name=NIGHT/);
  await page.waitForFunction(() => document.querySelectorAll(".runs tbody tr").length === 2);
  assert.deepEqual(await names(), ["night-3", "night-2"]);
  await page.fill("input[type=search]", "");
  await page.waitForFunction(() => document.querySelectorAll(".runs tbody tr").length === 3);

  await page.selectOption("select", { label: "demo" });
  await page.waitForFunction(() => document.querySelectorAll(".runs tbody tr").length === 1);
  assert.deepEqual(await names(), ["hello-1"]);
  await page.goBack();
  await page.waitForFunction(() => document.querySelectorAll(".runs tbody tr").length === 3);
});

test("a run is found from the keyboard, and the list is where it was on the way back; a run can be deleted", async () => {
  const many = Array.from({ length: 450 }, (_, index) => ({
    ...RUN,
    project: "many",
    runName: `run-${index}`,
    name: "a0",
    parent: null,
    phase: index % 45 === 0 ? "FAILED" : "RUNNING",
    errorInfo: index % 45 === 0 ? { kind: "USER", message: `out of disk ${index}` } : undefined,
    updatedTime: new Date(Date.parse("2026-04-12T00:00:00Z") + index * 60_000).toISOString(),
  }));
  await runtree.report(many);
  const context = await browser.newContext({ viewport: { width: 1440, height: 1200 } });
  const page = await openPage(context, `${runtree.url}/#/?project=many`);
  await page.waitForSelector("text=440 in progress");
  const first = () => page.locator(".runs tbody tr:not(.space) th a").first().textContent();
  await until(async () => (await first()) === "run-449", "the newest is on top");
  assert.ok((await page.locator(".runs tbody tr").count()) < 80, "only what is on the screen");
  await until(async () => {
    await page.keyboard.press("End");
    return (await page.locator("[aria-current] a").textContent()) === "run-0";
  }, "older runs come by themselves");
  await page.keyboard.press("k");
  await page.waitForSelector("[aria-current] a:has(:text-is('run-1'))");
  await page.waitForSelector(
    "tr:has(a:has(:text-is('run-0'))) .row-error:has-text('out of disk 0')",
  );
  const scrolled = () => page.evaluate(() => document.querySelector(".runs-scroller").scrollTop);
  const before = await scrolled();
  assert.ok(before > 10_000);
  await page.keyboard.press("Enter");
  await page.waitForSelector("[data-name=a0]");
  await page.goBack();
  await page.waitForSelector("a:has(:text-is('run-1'))");
  await until(async () => Math.abs((await scrolled()) - before) < 3, "it is where it was");

  await page.click(".runs thead button:has-text('Run')");
  await page.waitForURL(/sort=name/);
  await page.waitForFunction(() => document.querySelector(".runs-scroller"));
  await page.evaluate(() => {
    document.querySelector(".runs-scroller").scrollTop = 0;
  });
  await page.waitForSelector("tbody tr:first-child a:has(:text-is('run-0'))");
  await page.hover("tbody tr:first-child");
  await page.click("[aria-label='Delete run-0']");
  await page.click("dialog >> text=Keep it");
  await page.click("[aria-label='Delete run-0']");
  await page.click("dialog .danger");
  await page.waitForSelector("tbody tr:first-child a:has(:text-is('run-1'))");
  const answer = await fetch(runtree.url + runPath({ ...RUN, project: "many", runName: "run-0" }));
  assert.equal(answer.status, 404);
  assertCleanPage(page);
  await context.close();
});

test("the list comes back by itself after a restart", async () => {
  await runtree.stop();
  await waitForStream(page, ["Reconnecting"]);
  await runtree.start();
  await runtree.report([
    { ...RUN, runName: "night-4", name: "a0", parent: null, phase: "RUNNING" },
  ]);
  await page.waitForSelector(".runs a:has(:text-is('night-4'))", { timeout: 40_000 });
  await waitForStream(page, ["Live"]);
});

test(
  "the sample run plays from the browser through the public API, to its end",
  { timeout: 150_000 },
  async () => {
    await page.click("text=Play a sample run");
    await page.waitForURL(/#\/runs\/samples\/playground\/sample-/);
    await page.waitForSelector("[data-name=a0]");
    await waitForStream(page, ["Live"]);
    await page.waitForFunction(() => /^(Succeeded|Failed)/.test(document.title), null, {
      timeout: 120_000,
    });
    const [, project, domain, runName] = new URL(page.url()).hash.match(
      /#\/runs\/([^/]+)\/([^/]+)\/([^/?]+)/,
    );
    const expected = treeOfApi(await runtree.get(`${runPath({ project, domain, runName })}/tree`));
    assert.ok(expected.length > 40);
    await until(async () => (await treeOnPage(page)).length === expected.length, "all rows");
    assert.deepEqual(byName(await treeOnPage(page)), byName(expected));
    assertCleanPage(page);
  },
);

test("a recording that is played as the README says happens now", async () => {
  const repository = fileURLToPath(new URL("../../", import.meta.url));
  const readme = await readFile(join(repository, "README.md"), "utf8");
  const [, options] = readme.match(/^\.\/dev replay events\.ndjson (.*?)\s+#/m);
  const folder = await mkdtemp(join(tmpdir(), "runtree-recording-"));
  const file = join(folder, "events.ndjson");
  const run = { ...RUN, runName: "night-recorded" };
  const events = inventRun(run).filter(
    ({ name, phase }) => name !== "night" || phase === "RUNNING",
  );
  await writeFile(file, events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  const replay = join(repository, "tools/replay.py");
  await promisify(execFile)("python3", [replay, file, "--url", runtree.url, ...options.split(" ")]);
  await rm(folder, { recursive: true });

  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await openPage(context, runAddress(runtree.url, run));
  await page.waitForSelector("[data-name=night] .phase:text-is('Running')");
  assert.match(
    await page.locator("[data-name=night] .cell-duration").innerText(),
    /^(\d+ m )?\d+ s$/,
    "it has run for as long as it was played",
  );
  await context.close();
});

test("a sample run whose page goes is aborted, and can be deleted from the list", async () => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1200 } });
  const player = await openPage(context, runtree.url);
  await player.click("text=Play a sample run");
  await player.waitForURL(/#\/runs\/samples\/playground\/sample-/);
  await player.waitForSelector("[data-name=a0] .phase:text-is('Running')");
  const runName = new URL(player.url()).hash.match(/sample-[^/?]+/)[0];
  const run = { project: "samples", domain: "playground", runName };
  await player.goto("about:blank");
  await until(
    async () => (await runtree.get(runPath(run))).phase === "ABORTED",
    "the run is aborted, it does not run for ever",
  );
  const { phaseCounts } = await runtree.get(runPath(run));
  const ends = Object.keys(phaseCounts);
  assert.ok(
    ends.every((phase) => ["ABORTED", "SUCCEEDED"].includes(phase)),
    ends.join(),
  );

  const list = await openPage(context, `${runtree.url}/#/?project=samples`);
  const row = list.locator(`.runs tr:has([title='${runName}'])`);
  await row.hover();
  await list.click(`[aria-label='Delete ${runName}']`);
  await list.click("dialog .danger");
  await row.waitFor({ state: "detached" });
  assertCleanPage(list);
  await context.close();
});
