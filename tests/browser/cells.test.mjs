/** The list of runs over two databases, one of which goes away. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { assertCleanPage, launch, openPage } from "./lib/browser.mjs";
import { Runtree } from "./lib/runtree.mjs";

const RUNS = Array.from({ length: 12 }, (_, number) => `r${number}`);

let lenders, runtree, browser, page;

/** A database in the PostgreSQL that a runtree has brought. */
async function databaseOf({ folder }) {
  const data = join(folder, "data");
  const base = await readFile(join(data, "postgres.path"), "utf8").catch(() => data);
  const lines = (await readFile(join(base.trim(), "postgres", "postmaster.pid"), "utf8")).split(
    "\n",
  );
  return `host='${lines[4]}' port=${lines[3]} user=runtree dbname=postgres`;
}

before(async () => {
  lenders = [await Runtree.start(), await Runtree.start()];
  const databases = await Promise.all(lenders.map(databaseOf));
  const options = databases.flatMap((url) => ["--database-url", url]);
  runtree = await Runtree.start({ options });
  browser = await launch();
  page = await openPage(
    await browser.newContext({ viewport: { width: 1440, height: 1200 } }),
    runtree.url,
  );
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
  for (const lender of lenders ?? []) await lender.remove();
});

const event = (runName) => ({
  project: "film",
  domain: "production",
  runName,
  name: "a0",
  parent: null,
});

const names = async () => (await page.locator(".runs tbody th a").allInnerTexts()).sort();

test("a database that is away is told, what is known of it stays, and the rest goes on", async () => {
  const notice = page.locator("text=Cell 2 is away: its runs are missing or old.");
  await runtree.report(RUNS.map((runName) => ({ ...event(runName), phase: "RUNNING" })));
  const homes = new Map();
  await page.waitForSelector(`.runs tbody tr:nth-child(${RUNS.length})`);
  assert.deepEqual(await names(), [...RUNS].sort());
  assert.equal(await notice.count(), 0);

  await lenders[1].stop();
  await notice.waitFor();
  const ask = async (runName) => {
    const answer = await fetch(`${runtree.url}/v1/events`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...event(runName), phase: "FAILED" }),
    });
    homes.set(runName, answer.ok ? 1 : 2);
  };
  await Promise.all(RUNS.map(ask));
  const there = RUNS.find((runName) => homes.get(runName) === 1);
  const missing = RUNS.find((runName) => homes.get(runName) === 2);
  const row = (runName, phase) =>
    page.waitForSelector(
      `.runs tbody tr:has(th :text-is('${runName}')):has(.phase:text-is('${phase}'))`,
    );
  await row(there, "Failed");
  await row(missing, "Running");

  await lenders[1].start();
  await notice.waitFor({ state: "detached" });
  await runtree.ready();
  await runtree.report([{ ...event(missing), phase: "SUCCEEDED" }]);
  await row(missing, "Succeeded");
  assert.deepEqual(await names(), [...RUNS].sort());
  assertCleanPage(page);
});
