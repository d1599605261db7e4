/** Where the server asks for a token, the page asks for it, and keeps it nowhere. */
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch, openPage, runAddress, waitForStream } from "./lib/browser.mjs";
import { Runtree } from "./lib/runtree.mjs";

const RUN = { project: "secret", domain: "production", runName: "r1" };
const KEY = randomBytes(48);

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token (RFC 7519) that lasts so long. */
function token(seconds) {
  const rights = { read: ["secret/*"], write: ["secret/*"] };
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${encode({ alg: "HS256", kid: "k" })}.${encode({ sub: "ada", exp, runtree: rights })}`;
  return `${signed}.${createHmac("sha256", KEY).update(signed).digest("base64url")}`;
}

let folder, runtree, browser;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "runtree-keys-"));
  const keys = join(folder, "keys.json");
  const key = {
    kty: "oct",
    kid: "k",
    alg: "HS256",
    k: KEY.toString("base64url"),
  };
  await writeFile(keys, JSON.stringify({ keys: [key] }));
  runtree = await Runtree.start({
    options: ["--auth", "jwt", "--auth-keys", keys, "--auth-leeway-s", "0"],
    headers: { Authorization: `Bearer ${token(3600)}` },
  });
  await runtree.report([{ ...RUN, name: "a0", parent: null, phase: "RUNNING" }]);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await runtree?.remove();
  await rm(folder, { recursive: true, force: true });
});

async function signIn(page, text) {
  await page.fill("input[type=password]", text);
  await page.keyboard.press("Enter");
}

test("a stranger is asked for a token, a wrong one is refused, a good one opens the page that was asked for", async () => {
  const context = await browser.newContext();
  const page = await openPage(context, runAddress(runtree.url, RUN));
  await page.waitForSelector("h1:text-is('Sign in')");
  await signIn(page, "no.token.this");
  await page.waitForSelector(".problem");
  await signIn(page, token(3600));
  await page.waitForSelector("[data-name=a0]");
  await waitForStream(page, ["Live"]);

  const foreign = await openPage(context, runAddress(runtree.url, { ...RUN, project: "theirs" }));
  await foreign.waitForSelector("text=The token does not give read on theirs/production.");
  await runtree.report([{ ...RUN, name: "a1", parent: "a0", phase: "RUNNING" }]);
  await page.waitForSelector("[data-name=a1]");
  await waitForStream(page, ["Live"]);
  await foreign.goto(runAddress(runtree.url, RUN));
  await foreign.waitForSelector("[data-name=a1]");
  await waitForStream(foreign, ["Live"]);
  await foreign.close();

  await page.goto(`${runtree.url}/#/`);
  await page.waitForSelector(".runs a:has(:text-is('r1'))");
  const kept = await page.evaluate(() => [
    document.cookie,
    JSON.stringify(localStorage),
    JSON.stringify(sessionStorage),
  ]);
  assert.deepEqual(kept, ["", "{}", "{}"]);
  assert.ok((await context.cookies()).every(({ httpOnly, secure }) => httpOnly && secure));

  await page.click("button:text-is('Sign out')");
  await page.waitForSelector("h1:text-is('Sign in')");
  assert.deepEqual(await context.cookies(), []);
});

test("when the token expires under an open page, it asks for another", async () => {
  const page = await openPage(await browser.newContext(), runAddress(runtree.url, RUN));
  await page.waitForSelector("h1:text-is('Sign in')");
  await signIn(page, token(6));
  await waitForStream(page, ["Live"]);
  await page.waitForSelector("h1:text-is('Sign in')", { timeout: 40_000 });
  await signIn(page, token(3600));
  await page.waitForSelector("[data-name=a0]");
  await waitForStream(page, ["Live"]);
});
