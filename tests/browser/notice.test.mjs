/** What a run says beside its tree, and what can be asked of it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { runPath, Runtree, until } from "./lib/runtree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-notice" };

let runtree, browser, page;

before(async () => {
  runtree = await Runtree.start();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
});

const say = (name, phase, more = {}) =>
  runtree.report([{ ...RUN, name, parent: name === "root" ? null : "root", phase, ...more }]);

test("title, labels, links and parameters of a run, and links and order of an action", async () => {
  await say("root", "RUNNING", {
    run: {
      title: "Nightly film",
      labels: { team: "lights" },
      links: [{ name: "Ticket", url: "https://tickets.example/1" }],
      params: { frames: 24 },
    },
  });
  await say("sweep", "QUEUED", {
    title: "Sweep up",
    dependsOn: ["cut", "mix"],
    links: [{ name: "Logs", url: "https://logs.example/sweep" }],
  });
  page = await openPage(await browser.newContext(), runAddress(runtree.url, RUN));
  await page.waitForSelector("h1:has-text('Nightly film')");
  const facts = page.locator(".run-facts");
  assert.equal(
    await facts.locator("a:has-text('Ticket')").getAttribute("href"),
    "https://tickets.example/1",
  );
  await facts.locator("summary").click();
  assert.match(await facts.locator(".json").textContent(), /"frames": 24/);
  await page.click("[data-name=sweep]");
  await page.waitForSelector(".panel h2:has-text('Sweep up')");
  const panel = await page.locator(".facts-list").textContent();
  assert.match(panel, /Aftercut, mix/);
  assert.match(panel, /Logs/);
  await page.keyboard.press("Escape");
  await page.waitForSelector(".panel", { state: "detached" });
  await facts.locator(".label-tag").click();
  await page.waitForURL(/label=team:lights/);
  await page.waitForSelector(".runs a:has-text('Nightly film')");
  await page.goBack();
});

test("what waits is told, with what it waits for", async () => {
  await runtree.report([{ ...RUN, name: "orphan", parent: "lost", phase: "FAILED" }]);
  await page.waitForSelector(".run-facts:has-text('1 action waits for lost')");
});

test("what is asked of a run comes however fast the run changes meanwhile", async () => {
  const busy = { ...RUN, runName: "night-busy" };
  const root = { name: "root", parent: null, phase: "RUNNING", run: { title: "Busy night" } };
  await runtree.report([{ ...busy, ...root }]);
  const page = await openPage(await browser.newContext(), "about:blank");
  let asked = 0;
  await page.route(`**${runPath(busy)}`, async (route) => {
    const name = `shot-${asked++}`;
    await runtree.report([{ ...busy, name, parent: "root", phase: "RUNNING" }]);
    await page.waitForSelector(`[data-name=${name}]`);
    await route.continue().catch(() => undefined);
  });
  await page.goto(runAddress(runtree.url, busy));
  await page.waitForSelector("h1:has-text('Busy night')");
  assertCleanPage(page);
  await page.context().close();
});

test("an abort is asked for after a question, and who asked is told", async () => {
  await page.click("button:has-text('Abort')");
  await page.click("dialog >> text=Let it go on");
  assert.equal((await runtree.get(runPath(RUN))).abortRequested, undefined);
  await page.click("button:has-text('Abort')");
  await page.fill("dialog input", "too dark");
  await page.click("dialog .danger");
  await page.waitForSelector(".run-facts:has-text('Somebody asked for its end: too dark')");
  assert.equal((await runtree.get(runPath(RUN))).abortRequested.reason, "too dark");
});

test("on a page without TLS what is copied is copied all the same, and no bell is offered that cannot ring", async () => {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    Object.defineProperty(navigator, "clipboard", { value: undefined });
    Object.defineProperty(window, "isSecureContext", { value: false });
  });
  const page = await openPage(context, runAddress(runtree.url, RUN, "phase=RUNNING"));
  await page.waitForSelector("[data-name=root]");
  assert.equal(await page.locator("[aria-label^='Tell me']").count(), 0);
  await page.focus("[aria-label^='Copy the link']");
  await page.keyboard.press("Enter");
  await page.waitForSelector("[aria-label='Copied']:focus");
  await page.focus("[type=search]");
  await page.keyboard.press("Control+V");
  assert.equal(await page.inputValue("[type=search]"), page.url());
  await context.close();
});

test("the browser tells of the first failure and of the end, once it was asked to", async () => {
  await page.evaluate(() => {
    window.told = [];
    window.Notification = class {
      static requestPermission = async () => "granted";
      constructor(title, { body }) {
        window.told.push(`${title} (${body})`);
      }
    };
  });
  const told = () => page.evaluate(() => window.told);
  const icon = () => page.locator("link[rel=icon]").getAttribute("href");
  const before = await icon();
  await say("part", "FAILED");
  await page.waitForSelector("[data-name=part]");
  assert.deepEqual(await told(), [], "nobody has asked yet");
  await until(async () => (await icon()) !== before, "the icon tells of the failure");
  await say("part", "RUNNING", { attempt: 2 });
  await page.waitForSelector("[data-name=part] .phase:text-is('Running')");
  await page.click("[aria-label='Tell me of the first failure and the end']");
  await page.waitForSelector("[aria-label^='Tell me'][aria-pressed=true]");
  await say("part", "FAILED", { attempt: 2 });
  await until(async () => (await told()).length === 1, "the failure is told");
  await say("sweep", "SUCCEEDED");
  await say("root", "FAILED");
  await until(async () => (await told()).length === 2, "the end is told");
  const [first, second] = await told();
  assert.match(first, /^First failure: night-notice \(.*1 failed\)$/);
  assert.match(second, /^Failed: night-notice/);
  await waitForStream(page, ["Live"]);
  assertCleanPage(page);
});
