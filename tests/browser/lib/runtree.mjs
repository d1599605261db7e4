/** The server under test: a process with a PostgreSQL of its own, in a folder that goes with it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const REPOSITORY = fileURLToPath(new URL("../../../", import.meta.url));
/** Events of one request; the API takes 5,000. */
const CHUNK = 5000;

/** Waits for `condition` to give something true, and returns that. */
export async function until(condition, what, seconds = 30) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`after ${seconds} s still not: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Our environment without what would configure runtree or libpq behind the test's back. */
function cleanEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(RUNTREE_|PG)/.test(name)),
  );
}

export class Runtree {
  /** Started, and ready. Its binary is $RUNTREE_BIN, by default build/runtree; `options` are more of its
   *  options, and `headers` go with every request of the test's own. */
  static async start({ options = [], headers = {} } = {}) {
    const runtree = new Runtree();
    runtree.options = options;
    runtree.headers = headers;
    runtree.folder = await mkdtemp(join(tmpdir(), "runtree-browser-"));
    // Where the database's user cannot go, root's runtree has it in /var/tmp, which nobody cleans.
    await chmod(runtree.folder, 0o755);
    runtree.port = await freePort();
    runtree.url = `http://127.0.0.1:${runtree.port}`;
    await runtree.start();
    return runtree;
  }

  async start() {
    const binary = resolve(REPOSITORY, process.env.RUNTREE_BIN ?? "build/runtree");
    const log = await open(join(this.folder, "log"), "a");
    const data = join(this.folder, "data");
    this.process = spawn(
      binary,
      ["serve", "--listen", `127.0.0.1:${this.port}`, "--data-dir", data, ...this.options],
      {
        stdio: ["ignore", log.fd, log.fd],
        env: cleanEnvironment(),
      },
    );
    this.process.on("error", () => undefined);
    await log.close();
    await this.ready();
  }

  /** Once every database of it can be read, written to and heard. */
  async ready() {
    await until(async () => {
      if (this.process.exitCode !== null || this.process.pid === undefined) {
        throw new Error(`${this.process.spawnfile} does not run`);
      }
      const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
      return answer?.ok && !(await answer.json()).unavailableCells;
    }, "ready").catch(async (error) => {
      throw new Error(`${error.message}\n${await this.log()}`);
    });
  }

  /** Stops it as an operator would, and checks that it ends well. */
  async stop() {
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    const [code] = await ended;
    if (code !== 0) throw new Error(`exit ${code}\n${await this.log()}`);
  }

  async remove() {
    if (this.process.exitCode === null && this.process.pid !== undefined) await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  async log() {
    return (await readFile(join(this.folder, "log"), "utf8")).slice(-5000);
  }

  async get(path) {
    const answer = await fetch(this.url + path, { headers: this.headers });
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  /** Reports events, and insists that each is new and nothing is wrong with it. */
  async report(events) {
    for (let from = 0; from < events.length; from += CHUNK) {
      const answer = await fetch(`${this.url}/v1/events`, {
        method: "POST",
        headers: { ...this.headers, "Content-Type": "application/json" },
        body: JSON.stringify({ events: events.slice(from, from + CHUNK) }),
      });
      const body = await answer.text();
      if (answer.status !== 200)
        throw new Error(`POST /v1/events: ${answer.status} ${body.slice(0, 500)}`);
      const odd = JSON.parse(body).results.find(
        ({ status }) => status === "rejected" || status === "duplicate",
      );
      if (odd) throw new Error(JSON.stringify(odd));
    }
  }

  /** The number behind a name in /metrics. */
  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split("\n").find((each) => each.startsWith(`${name} `));
    if (!line) throw new Error(`/metrics has no ${name}`);
    return Number(line.slice(name.length + 1));
  }
}

/** `…/runs/{run}` of the API. */
export function runPath({ project, domain, runName }) {
  return `/v1/projects/${project}/domains/${domain}/runs/${runName}`;
}
