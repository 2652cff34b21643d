import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const repository = fileURLToPath(new URL("../../", import.meta.url));

/** The longest time for a process to become ready on a busy machine. */
const START_MS = 90_000;

/** The number of users and groups in the simulator's initial data. */
const N_INITIAL = 14;

const ADMIN_TOKEN = "admin-token";

export interface Person {
  pk: number;
  username: string;
}

/** The whole system in one process, with its own data and ports. */
export class Installation {
  readonly url: string;
  readonly authentik: string;
  private readonly directory: string;
  private readonly environment: Record<string, string>;
  private process: ChildProcess | null = null;

  private constructor(directory: string, ports: readonly number[], settings: Record<string, string>) {
    const [page, authentik, ingress, projector, nats] = ports;
    this.directory = directory;
    this.url = `http://localhost:${page}`;
    this.authentik = `http://localhost:${authentik}`;
    this.environment = {
      STANDALONE_DATA_DIR: path.join(directory, "data"),
      NATS_SERVER: process.env.NATS_SERVER ?? "nats-server",
      API_STATIC_DIR: path.join(repository, "frontend/dist"),
      STANDALONE_PORT: String(page),
      STANDALONE_AUTHENTIK_PORT: String(authentik),
      STANDALONE_INGRESS_PORT: String(ingress),
      STANDALONE_PROJECTOR_PORT: String(projector),
      STANDALONE_NATS_PORT: String(nats),
      RUST_LOG: "info,poem=warn",
      ...settings,
    };
  }

  static async start(settings: Record<string, string> = {}): Promise<Installation> {
    const directory = await mkdtemp(path.join(tmpdir(), "authentik-events-"));
    const installation = new Installation(directory, await freePorts(5), settings);
    await installation.launch();
    // Otherwise the first reconciliation could find a test's new user before the webhook is processed.
    await waitUntil(
      "all initial users and groups are recorded",
      async () => (await installation.recordedIds()).length >= N_INITIAL,
    );
    return installation;
  }

  /** Stops the process and starts it again with the same ports and data. */
  async restart(): Promise<void> {
    await this.terminate();
    await this.launch();
  }

  async stop(): Promise<void> {
    await this.terminate();
    await rm(this.directory, { recursive: true, force: true });
  }

  async createUser(username: string, name: string): Promise<Person> {
    const { pk } = await this.admin("POST", "core/users/", { username, name });
    await this.admin("POST", `core/users/${pk}/set_password/`, { password: `${username}-password` });
    return { pk: Number(pk), username };
  }

  async updateUser(pk: number, change: Record<string, unknown>): Promise<void> {
    await this.admin("PATCH", `core/users/${pk}/`, change);
  }

  /** Makes a change that causes no webhook, like a directory sync. */
  async changeWithoutWebhook(change: Record<string, unknown>): Promise<void> {
    await this.send("POST", `${this.authentik}/_control/silent`, change);
  }

  /** Reports a login of the user, like authentik. */
  async login(pk: number): Promise<void> {
    await this.emit("login", pk, {
      auth_method: "password",
      http_request: { path: "/", method: "GET", args: {}, request_id: "1" },
    });
  }

  /** Sends a delivery with an invalid user key, which becomes a dead letter. */
  async breakDelivery(pk: number): Promise<void> {
    await this.emit("model_updated", pk, {
      model: { app: "authentik_core", model_name: "user", pk: "none", name: "nobody" },
    });
  }

  /** Creates users without webhooks, and restarts so that the first reconciliation finds them. */
  async importUsers(count: number, prefix: string): Promise<void> {
    await this.changeWithoutWebhook({ op: "create_users", count, prefix });
    await this.restart();
  }

  /** Makes the simulated authentik respond with faults. */
  async injectFaults(faults: Record<string, unknown>): Promise<void> {
    await this.send("POST", `${this.authentik}/_control/faults`, faults);
  }

  /** Uses a refresh token, like a thief. Returns the status of authentik's answer. */
  async refresh(token: string): Promise<number> {
    const form = { grant_type: "refresh_token", client_id: "authentik-events", refresh_token: token };
    const body = new URLSearchParams(form);
    return (await fetch(`${this.authentik}/application/o/token/`, { method: "POST", body })).status;
  }

  /** The ids of all recorded events, oldest first. */
  async recordedIds(): Promise<string[]> {
    const token = await this.token("akadmin");
    const ids: string[] = [];
    let after = "earliest";
    for (;;) {
      const url = `${this.url}/api/events?limit=500&after=${after}`;
      const page = await this.send("GET", url, undefined, token);
      const { events, next, as_of } = page as { events: { id: string }[]; next: string; as_of: string };
      ids.push(...events.map((event) => event.id));
      if (next === as_of) return ids;
      after = next;
    }
  }

  private async emit(action: string, pk: number, context: Record<string, unknown>): Promise<void> {
    await this.send("POST", `${this.authentik}/_control/emit`, { action, user_pk: pk, context });
  }

  private async token(username: string): Promise<string> {
    const tokens = await this.send("POST", `${this.authentik}/_control/token`, { username });
    return String(tokens.access_token);
  }

  private admin(method: string, route: string, body: unknown) {
    return this.send(method, `${this.authentik}/api/v3/${route}`, body, ADMIN_TOKEN);
  }

  private async send(
    method: string,
    url: string,
    body: unknown,
    token?: string,
  ): Promise<Record<string, unknown>> {
    const response = await fetch(url, {
      method,
      headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : {};
  }

  private async launch(): Promise<void> {
    const program = process.env.STANDALONE ?? path.join(repository, "target/debug/standalone");
    const log = openSync(path.join(this.directory, "log"), "a");
    const environment = { PATH: process.env.PATH, ...this.environment };
    const child = spawn(program, { env: environment, stdio: ["ignore", log, log] });
    closeSync(log);
    this.process = child;
    const ended = new Promise<never>((_, reject) => {
      child.once("exit", (code) =>
        reject(new Error(`standalone exited with ${code}; see ${this.directory}/log`)),
      );
      child.once("error", reject);
    });
    ended.catch(() => {});
    await Promise.race([this.ready(), ended]);
  }

  private async ready(): Promise<void> {
    await waitUntil(`the process is ready; see ${this.directory}/log`, () =>
      fetch(`${this.url}/readyz`).then(
        (response) => response.ok,
        () => false,
      ),
    );
  }

  /** Sends SIGTERM, so that the process also stops its nats-server. */
  private async terminate(): Promise<void> {
    const child = this.process;
    this.process = null;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  }
}

async function waitUntil(condition: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + START_MS;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not true within ${START_MS} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function freePorts(n: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: n }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  return await Promise.all(
    servers.map(async (server) => {
      const address = server.address();
      await new Promise((resolve) => server.close(resolve));
      if (!address || typeof address === "string") throw new Error("the server has no port");
      return address.port;
    }),
  );
}
