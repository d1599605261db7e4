/** The page shows what the API says, through everything that happens to its connection. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { inventRun } from "./lib/invent.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { runPath, Runtree, until } from "./lib/runtree.mjs";
import { overlaps, seen, settlesWithout } from "./lib/screen.mjs";
import { byName, treeOfApi, treeOnPage } from "./lib/tree.mjs";

const RUN = { project: "film", domain: "production", runName: "night-1" };
const FILTERS = ["", "phase=FAILED,TIMED_OUT", "phase=RUNNING,RECOVERED"];

let runtree, proxy, browser;

before(async () => {
  runtree = await Runtree.start();
  proxy = await Proxy.start(runtree.port);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await proxy?.remove();
  await runtree?.remove();
});

/** Notes, at every frame, which states of the stream the page shows, and whether it ever loses its rows. */
async function keepWatch(page) {
  await page.evaluate(() => {
    window.watched = { states: [], details: [], fewestRows: Infinity };
    const look = () => {
      const state = document.querySelector(".stream [role=status]")?.textContent ?? "";
      const details = document.querySelector(".stream-details")?.textContent ?? "";
      const rows =
        Number(document.querySelector("[role=treegrid]")?.getAttribute("aria-rowcount") ?? 1) - 1;
      if (window.watched.states.at(-1) !== state) window.watched.states.push(state);
      if (details && !window.watched.details.includes(details))
        window.watched.details.push(details);
      window.watched.fewestRows = Math.min(window.watched.fewestRows, rows);
      requestAnimationFrame(look);
    };
    look();
  });
}

async function assertSameTree(page, filter) {
  const query = filter && `?${filter}`;
  const expected = treeOfApi(await runtree.get(`${runPath(RUN)}/tree${query}`));
  const shown = await treeOnPage(page);
  assert.deepEqual(byName(shown), byName(expected));
  return expected.length;
}

test("a run replayed shows the API's tree at the end, with filters, through a restart, direct and behind nginx", async () => {
  const events = inventRun(RUN);
  const half = Math.floor(events.length / 2);
  await runtree.report(events.slice(0, 20));

  const pages = [];
  for (const base of [runtree.url, proxy.url]) {
    for (const filter of FILTERS) {
      // A window each: a browser draws no frames of a tab behind another.
      const context = await browser.newContext({
        viewport: { width: 1600, height: 1000 },
      });
      const page = await openPage(context, runAddress(base, RUN, filter));
      pages.push({ page, filter, isProxied: base === proxy.url });
    }
  }
  for (const { page } of pages) {
    await waitForStream(page, ["Live"]);
    await keepWatch(page);
  }

  for (let from = 20; from < half; from += 60)
    await runtree.report(events.slice(from, Math.min(half, from + 60)));
  const { revision } = await runtree.get(runPath(RUN));
  assert.ok(revision > 100, "the first half has been recorded");
  await until(async () => {
    const rows = await treeOnPage(pages[0].page);
    return rows.length === treeOfApi(await runtree.get(`${runPath(RUN)}/tree`)).length;
  }, "the first half is on the page");

  await runtree.stop();
  for (const { page } of pages) await waitForStream(page, ["Reconnecting"]);
  await runtree.start();
  for (let from = half; from < events.length; from += 60)
    await runtree.report(events.slice(from, from + 60));

  for (const { page, filter, isProxied } of pages) {
    await page.waitForSelector(".facts .phase:text-is('Succeeded')", {
      timeout: 60_000,
    });
    const count = await assertSameTree(page, filter);
    assert.ok(
      count > 5,
      `${filter || "no filter"} leaves ${count} nodes, too few to mean anything`,
    );
    const { states, details, fewestRows } = await page.evaluate(() => window.watched);
    assert.equal(states[0], "Live");
    assert.ok(states.includes("Reconnecting"), states.join());
    assert.equal(states.at(-1), "Live");
    assert.ok(
      details.some((text) => /next try in (about )?\d+ s/.test(text)),
      details.join("\n"),
    );
    assert.ok(
      details.some((text) => !text.startsWith("next try")),
      "it says why",
    );
    if (filter === "")
      assert.ok(fewestRows >= 5, `at some frame only ${fewestRows} rows were left`);
    assertCleanPage(page);
    console.log(
      `# ${isProxied ? "nginx " : "direct"} ${filter || "(all)"}: ${count} nodes equal; ${states.join(", ")}`,
    );
  }
});

test("a filter chosen on the page shows at once what the API's has, and Back takes it off", async () => {
  const page = await openPage(
    await browser.newContext({ viewport: { width: 1600, height: 1000 } }),
    runAddress(runtree.url, RUN),
  );
  await waitForStream(page, ["Live"]);
  const streams = [];
  page.on("request", (request) => streams.push(request.url()));
  await page.click(".chip[data-phase=FAILED]");
  await page.waitForFunction(
    () => document.querySelector("[role=treegrid]")?.getAttribute("aria-rowcount") < 100,
  );
  await assertSameTree(page, "phase=FAILED");
  assert.match(page.url(), /\?phase=FAILED/);
  assert.deepEqual(
    streams.filter((url) => url.includes("/watch")),
    [],
    "no other stream was opened for it",
  );
  await page.goBack();
  await page.waitForSelector(".chip[data-phase=FAILED][aria-pressed=false]");
  await assertSameTree(page, "");

  await page.click(".chip[data-phase=FAILED]");
  await page.click("text=Hide succeeded");
  await page.waitForURL(/hide=succeeded/);
  await page.reload();
  await page.waitForSelector("[role=treegrid]");
  assert.equal(await page.locator(".chip[data-phase=FAILED]").getAttribute("aria-pressed"), "true");
  assertCleanPage(page);
});

test("a search marks what it finds in names and errors, leads from hit to hit, and loses no row", async () => {
  const page = await openPage(
    await browser.newContext({ viewport: { width: 1600, height: 1000 } }),
    runAddress(runtree.url, RUN),
  );
  await waitForStream(page, ["Live"]);
  const count = () => page.locator("[role=treegrid]").getAttribute("aria-rowcount");
  const before = await count();
  await page.fill("input[type=search]", "FRAME-21");
  await page.waitForSelector(".hits:has-text('16')");
  assert.equal(await count(), before);
  await page.press("input[type=search]", "Enter");
  await page.waitForSelector(".hits:has-text('1 of 16')");
  await page.waitForSelector("[data-name='scene-0.shot-0.frame-21'][aria-selected=true] mark");
  await page.press("input[type=search]", "Shift+Enter");
  await page.waitForSelector(".hits:has-text('16 of 16')");
  await page.fill("input[type=search]", "node lost");
  await page.waitForSelector(".hits:has-text('nothing found')");
  await page.fill("input[type=search]", "simulate");
  await page.waitForSelector(".hits:has-text('80')");
  assertCleanPage(page);
});

test("a run that goes on after its end goes on on the page: a retry, a late child", async () => {
  const run = { ...RUN, runName: "night-again" };
  const say = (name, phase, more = {}) =>
    runtree.report([{ ...run, name, phase, parent: name === "root" ? null : "root", ...more }]);
  await say("root", "RUNNING");
  const page = await openPage(await browser.newContext(), runAddress(runtree.url, run));
  await page.waitForSelector("[data-name=root]");
  await say("root", "FAILED");
  await page.waitForSelector(".facts .phase:text-is('Failed')");
  await say("root", "RUNNING", { attempt: 2 });
  await page.waitForSelector(".facts .phase:text-is('Running')");
  await say("root", "SUCCEEDED", { attempt: 2 });
  await page.waitForSelector(".facts .phase:text-is('Succeeded')");
  await say("late", "SUCCEEDED");
  await page.waitForSelector("[data-name=late]");
  await waitForStream(page, ["Live"]);
  assertCleanPage(page);
});

test("a link to a run that has not begun waits for it", async () => {
  const run = { ...RUN, runName: "night-to-come" };
  const page = await openPage(await browser.newContext(), runAddress(runtree.url, run));
  await page.waitForSelector("text=has not begun");
  await runtree.report([{ ...run, name: "root", parent: null, phase: "RUNNING" }]);
  await page.waitForSelector("[data-name=root]");
  await waitForStream(page, ["Live"]);
  assertCleanPage(page);
});

test("what a request failed to get comes by itself: an action, its events, another run, the run as it was", async () => {
  const run = { ...RUN, runName: "night-cut" };
  const time = "2026-04-12T20:00:00.000Z";
  await runtree.report(
    ["night-cut", "night-uncut"].map((runName) => ({
      ...run,
      ...{ runName, name: "root", parent: null, phase: "SUCCEEDED", updatedTime: time },
    })),
  );
  const context = await browser.newContext({ viewport: { width: 1600, height: 1000 } });
  let isCut = false;
  await context.route(/\/v1\/(?!.*watch)/, (route) => (isCut ? route.abort() : route.continue()));
  const page = await openPage(context, runAddress(runtree.url, run));
  /** Does it while no request gets through; what is missing is told, and there once they do. */
  const withoutNetwork = async (act, problem, there) => {
    isCut = true;
    await act();
    await page.waitForSelector(problem);
    isCut = false;
    await page.waitForSelector(there);
    await page.waitForSelector(problem, { state: "detached" });
  };
  await withoutNetwork(
    () => page.click("[data-name=root]"),
    ".panel .problem:text-is('The server does not answer')",
    ".panel .attempt",
  );
  await withoutNetwork(
    () => page.click("role=tab[name='Raw events']"),
    ".panel .problem",
    ".events li",
  );
  await withoutNetwork(
    () => page.goto(runAddress(runtree.url, run, "compare=night-uncut")),
    ".compare [role=status]:text-is('The server does not answer')",
    "[data-compared]",
  );
  await withoutNetwork(
    () => page.goto(runAddress(runtree.url, run, `at=${time}`)),
    ".replay-error",
    ".replay-time[aria-busy=false]",
  );
  assertCleanPage(page);
  await context.close();
});

test("why it failed is on top: the first cause, its trace's last line, equal ones once", async () => {
  const run = { ...RUN, runName: "night-failed" };
  const at = (second) => `2026-04-12T20:00:${String(second).padStart(2, "0")}.000Z`;
  const trace = [
    "Traceback (most recent call last):",
    ...Array.from({ length: 60 }, (_, line) => `  File "step_${line}.py", line ${line}, in step`),
    "ValueError: partition 133 has 4 columns",
  ].join("\n");
  const fail = (name, second, message, parent = "stage") => ({
    ...run,
    name,
    parent,
    phase: "FAILED",
    updatedTime: at(second),
    errorInfo: { kind: "USER", message },
  });
  await runtree.report([
    {
      ...run,
      name: "root",
      parent: null,
      phase: "RUNNING",
      updatedTime: at(0),
    },
    {
      ...run,
      name: "stage",
      parent: "root",
      phase: "RUNNING",
      updatedTime: at(1),
      group: "all",
    },
    fail("part-7", 20, "evicted"),
    fail("part-8", 21, "evicted"),
    {
      ...fail("part-133", 10, trace),
      logInfo: [{ name: "stderr", uri: "https://logs.example/1" }],
    },
    fail("stage", 30, "3 of 3 failed", "root"),
    fail("root", 31, "stage failed", null),
  ]);
  const context = await browser.newContext();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await openPage(context, runAddress(runtree.url, run));
  await page.waitForSelector(".why-row");
  const rows = await page.locator(".why-row").allTextContents();
  assert.equal(rows.length, 2);
  assert.match(rows[0], /part-133ValueError: partition 133 has 4 columns/);
  assert.match(rows[1], /part-7evicted×2/);
  await page.keyboard.press("e");
  const cause = page.locator(".panel .error-cause");
  await cause.waitFor();
  assert.equal(await cause.textContent(), "ValueError: partition 133 has 4 columns");
  assert.equal(await page.locator(".panel details pre").textContent(), trace);
  const inSight = (box) => box.y >= 0 && box.y + box.height <= page.viewportSize().height;
  assert.ok(inSight(await cause.boundingBox()), "the cause is seen without scrolling");
  assert.ok(
    inSight(await page.locator(".panel a:has-text('stderr')").boundingBox()),
    "its log too",
  );
  await page.click(".error-box button:has-text('Copy')");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), trace);
  await page.setViewportSize({ width: 320, height: 640 });
  await settlesWithout(async () => overlaps(await seen(page, ".panel")), "at 320");
  await page.setViewportSize({ width: 1280, height: 720 });
  await page.goBack();
  await page.waitForSelector(".panel", { state: "detached" });
  await page.waitForSelector("[data-name='part-133'] .row-error");
  assertCleanPage(page);
});

test("actions of one group are one row that says how they are; opened, what failed is first", async () => {
  const page = await openPage(
    await browser.newContext({ viewport: { width: 1600, height: 1000 } }),
    runAddress(runtree.url, RUN),
  );
  await waitForStream(page, ["Live"]);
  const group = page.locator(`[data-name="scene-0.shot-0\u001fframes"]`);
  await group.waitFor();
  assert.match(await group.textContent(), /frames22 · mean [\d.]+ s, max [\d.]+ s/);
  await group.click();
  const row = Number(await group.getAttribute("data-row"));
  const first = await page.locator(`[data-row="${row + 1}"] .phase`).textContent();
  assert.ok(["Failed", "Timed out"].includes(first), first);
  await page.waitForURL(/fold=/);
  await page.reload();
  await page.waitForSelector(
    `[data-row="${row + 1}"][aria-level="4"], [data-row="${row + 1}"][aria-level="5"]`,
  );
  assert.equal(await group.getAttribute("aria-expanded"), "true");
  assertCleanPage(page);
});

test("under a path of a proxy all of it works, and asks for nothing outside of that path", async () => {
  const base = `${proxy.url}/tools/runtree`;
  const page = await openPage(await browser.newContext(), `${base}/`);
  const outside = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(`${base}/`)) outside.push(request.url());
  });
  await page.click(".runs a:has-text('night-1')");
  await page.waitForSelector("[data-name=night]");
  await waitForStream(page, ["Live"]);
  await page.click("[data-name=night]");
  await page.waitForSelector(".panel .attempt");
  assert.ok(page.url().startsWith(`${base}/#/runs/`), page.url());
  assert.deepEqual(outside, []);
  assertCleanPage(page);
});

test("rows that come above do not move the one that is read, whether an action is chosen or not", async () => {
  const child = (run, name, parent) => ({ ...run, name, parent, phase: "RUNNING" });
  const stages = Array.from({ length: 4 }, (_, stage) => `s${stage}`);
  for (const chosen of ["", "s1.10"]) {
    const run = { ...RUN, runName: `night-insert-${chosen}` };
    await runtree.report([
      child(run, "root", null),
      ...stages.map((name) => child(run, name, "root")),
      ...stages.flatMap((name) =>
        Array.from({ length: 50 }, (_, n) => child(run, `${name}.${n}`, name)),
      ),
    ]);
    const page = await openPage(
      await browser.newContext(),
      runAddress(runtree.url, run, chosen && `action=${chosen}`),
    );
    await waitForStream(page, ["Live"]);
    await page.waitForSelector(chosen ? `[data-name='${chosen}']` : "[data-name='root']");
    if (chosen) await page.waitForSelector(".panel .attempt");
    await page.evaluate(() => {
      document.querySelector("[role=treegrid]").scrollTop = 30 * 120;
    });
    const top = () =>
      page.evaluate(() => {
        const tree = document.querySelector("[role=treegrid]").getBoundingClientRect();
        const rows = [...document.querySelectorAll("[data-row]")];
        const inView = rows
          .map((row) => [row.getBoundingClientRect().top - tree.top, row.dataset.name])
          .filter(([y]) => y >= 30)
          .sort((a, b) => a[0] - b[0]);
        return inView[0];
      });
    await page.waitForFunction(() => document.querySelector("[data-name='s2.20']"));
    const before = await top();
    await runtree.report(Array.from({ length: 20 }, (_, n) => child(run, `s0.new-${n}`, "s0")));
    await page.waitForFunction(
      () => document.querySelector("[role=treegrid]").getAttribute("aria-rowcount") === "226",
    );
    assert.deepEqual(await top(), before, chosen ? `${chosen} is chosen` : "nothing is chosen");
    assertCleanPage(page);
  }
});

test("a link leads to an action under a filter", async () => {
  const context = await browser.newContext({
    viewport: { width: 1600, height: 1000 },
  });
  const name = "scene-3.shot-3.frame-10";
  const page = await openPage(context, runAddress(runtree.url, RUN, `phase=FAILED&action=${name}`));
  const row = page.locator(`[data-name="${name}"]`);
  await row.waitFor();
  assert.equal(await row.getAttribute("aria-selected"), "true");
  const panel = page.locator(".panel");
  await panel.locator("text=Attempt 2").waitFor();
  assert.match(await panel.innerText(), /System error\s+Copy\s+node lost/);
  assert.match(await panel.innerText(), /gpu-1/);
  await panel.locator("role=tab[name='Raw events']").click();
  await panel.locator(".events li").first().waitFor();
  const { events } = await runtree.get(`${runPath(RUN)}/actions/${name}/events`);
  assert.equal(await panel.locator(".events li").count(), events.length);
  assertCleanPage(page);
});

test("a run that is deleted goes from the page and from the list, and made anew it comes anew", async () => {
  const run = { ...RUN, runName: "night-short" };
  const begin = (name) => runtree.report([{ ...run, name, parent: null, phase: "RUNNING" }]);
  await begin("first");
  const context = await browser.newContext();
  const list = await openPage(context, runtree.url);
  await list.waitForSelector(".runs a:has-text('night-short')");
  const page = await openPage(context, runAddress(runtree.url, run));
  await page.waitForSelector("[data-name=first]");

  const answer = await fetch(runtree.url + runPath(run), { method: "DELETE" });
  assert.ok(answer.ok, `${answer.status}`);
  await page.waitForSelector("text=has not begun");
  assert.equal(await page.locator("[data-name=first]").count(), 0);
  await list.bringToFront();
  await list.waitForSelector(".runs a:has-text('night-short')", {
    state: "detached",
  });

  await begin("second");
  await list.waitForSelector(".runs a:has-text('night-short')");
  await page.bringToFront();
  await page.waitForSelector("[data-name=second]");
  assert.equal(await page.locator("[data-row]").count(), 1);
  await waitForStream(page, ["Live"]);
  assertCleanPage(page);
});

test("a filter that leaves nothing still says how the run stands, in the title too", async () => {
  const page = await openPage(
    await browser.newContext(),
    runAddress(runtree.url, RUN, "phase=PAUSED"),
  );
  await page.waitForSelector("text=No action matches");
  await page.waitForSelector(".facts .phase:text-is('Succeeded')");
  assert.equal(await page.title(), "Succeeded · night-1 · runtree");
  assert.ok((await page.locator(".chip[data-phase=FAILED] .chip-count").innerText()) > 0);
  await page.click("text=Clear the filter");
  await page.waitForSelector("[data-name=night]");
});
