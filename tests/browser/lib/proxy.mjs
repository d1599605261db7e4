/** nginx from Debian in front of a server, configured as its manual says and no further. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, until } from "./runtree.mjs";

export class Proxy {
  static async start(upstreamPort) {
    const proxy = new Proxy();
    proxy.folder = await mkdtemp(join(tmpdir(), "runtree-nginx-"));
    proxy.url = `http://127.0.0.1:${await freePort()}`;
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    for (const name of temporary) await mkdir(join(proxy.folder, name));
    const configuration = join(proxy.folder, "nginx.conf");
    await writeFile(
      configuration,
      `daemon off;
pid ${proxy.folder}/pid;
error_log ${proxy.folder}/error.log;
events { worker_connections 256; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${proxy.folder}/${name};`).join("\n  ")}
  server {
    listen ${new URL(proxy.url).host};
    location / {
      proxy_pass http://127.0.0.1:${upstreamPort};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
    location /tools/runtree/ {
      proxy_pass http://127.0.0.1:${upstreamPort}/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`,
    );
    proxy.process = spawn("nginx", ["-c", configuration, "-e", join(proxy.folder, "error.log")], {
      stdio: "ignore",
    });
    proxy.process.on("error", () => undefined);
    await until(
      () =>
        fetch(proxy.url).then(
          () => true,
          () => false,
        ),
      "nginx answers",
      10,
    ).catch(async (error) => {
      const log = await readFile(join(proxy.folder, "error.log"), "utf8").catch(
        () => "is nginx installed?",
      );
      throw new Error(`${error.message}\n${log}`);
    });
    return proxy;
  }

  async remove() {
    if (this.process.exitCode === null) {
      const ended = once(this.process, "exit");
      this.process.kill("SIGTERM");
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}
