import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Renewal, Session } from "../auth/session.ts";
import { authorizedFetch, unwrap } from "./client.ts";
import { Problem } from "./problem.ts";

const REFUSAL = {
  title: "Unauthorized",
  status: 401,
  detail: "the access token is not accepted: the user is deactivated",
};

/** A session with the token `first`, which a successful renewal replaces by `second`. */
function fakeSession(renewal: Renewal) {
  let token = "first";
  const endReasons: string[] = [];
  const fake = {
    accessToken: async () => token,
    renew: async (_: string, reason: string) => {
      if (renewal === "renewed") token = "second";
      if (renewal === "refused") endReasons.push(reason);
      return renewal;
    },
    end: async (reason: string) => {
      endReasons.push(reason);
    },
  };
  // The fake has every member that `authorizedFetch` uses.
  return { session: fake as unknown as Session, endReasons };
}

const fetched = vi.fn<(request: Request) => Promise<Response>>();
const tokens = () => fetched.mock.calls.map(([request]) => request.headers.get("authorization"));
const request = () => new Request("http://localhost/api/me");

beforeEach(() => vi.stubGlobal("fetch", fetched.mockReset()));
afterEach(() => {
  vi.unstubAllGlobals();
});

describe("authorizedFetch", () => {
  it("renews a refused token and retries once", async () => {
    fetched.mockResolvedValueOnce(Response.json(REFUSAL, { status: 401 }));
    fetched.mockResolvedValueOnce(Response.json({ pk: 1 }));
    const { session, endReasons } = fakeSession("renewed");
    expect((await authorizedFetch(session, request())).status).toBe(200);
    expect(tokens()).toEqual(["Bearer first", "Bearer second"]);
    expect(endReasons).toEqual([]);
  });

  it("ends the session with the API's reason when the renewed token is refused too", async () => {
    fetched.mockImplementation(async () => Response.json(REFUSAL, { status: 401 }));
    const { session, endReasons } = fakeSession("renewed");
    expect((await authorizedFetch(session, request())).status).toBe(401);
    expect(tokens()).toHaveLength(2);
    expect(endReasons).toEqual([
      "Your access has ended: the user is deactivated. Sign in again or contact an administrator.",
    ]);
  });

  it("does not retry when the session cannot be renewed now", async () => {
    fetched.mockResolvedValueOnce(Response.json(REFUSAL, { status: 401 }));
    const { session } = fakeSession("unreachable");
    expect((await authorizedFetch(session, request())).status).toBe(401);
    expect(tokens()).toHaveLength(1);
  });
});

describe("unwrap", () => {
  const outcome = (status: number, error: unknown, headers = {}) =>
    unwrap(Promise.resolve({ error, response: new Response(null, { status, headers }) }));

  it("throws the API's problem with the time to wait", async () => {
    const refused = outcome(429, { title: "Too Many Requests", detail: "slow down" }, { "retry-after": "3" });
    const problem = await refused.catch((thrown: unknown) => thrown);
    expect(problem).toBeInstanceOf(Problem);
    expect(problem).toMatchObject({ status: 429, message: "slow down", retryAfter: 3, isTransient: true });
  });

  it("describes an error without a problem document by its status", async () => {
    const problem = await outcome(502, "<html>Bad gateway</html>").catch((thrown: unknown) => thrown);
    expect(problem).toMatchObject({ status: 502, title: "Status 502", isTransient: true });
  });

  it("reports a missing response", async () => {
    const thrown = await unwrap(Promise.reject(new TypeError("Failed to fetch"))).catch((cause) => cause);
    expect(thrown).toMatchObject({ status: null, title: "No response" });
  });
});
