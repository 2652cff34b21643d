import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Renewal, Session } from "../auth/session.ts";
import { answer, askAs } from "./client.ts";
import { Problem } from "./problem.ts";

const REFUSAL = {
  title: "Unauthorized",
  status: 401,
  detail: "the access token is not accepted: the user is deactivated",
};

/** A session whose tokens are `first` and then `second`, where it can be renewed. */
function session(renewal: Renewal) {
  let token = "first";
  const told: string[] = [];
  const fake = {
    bearer: async () => token,
    renew: async (_: string, why: string) => {
      if (renewal === "renewed") token = "second";
      if (renewal === "refused") told.push(why);
      return renewal;
    },
    end: async (why: string) => {
      told.push(why);
    },
  };
  // What asking uses of a session.
  return { session: fake as unknown as Session, told };
}

const asked = vi.fn<(request: Request) => Promise<Response>>();
const tokens = () => asked.mock.calls.map(([request]) => request.headers.get("authorization"));
const request = () => new Request("http://localhost/api/me");

beforeEach(() => vi.stubGlobal("fetch", asked.mockReset()));
afterEach(() => {
  vi.unstubAllGlobals();
});

describe("askAs", () => {
  it("renews a token that is refused, and asks once more", async () => {
    asked.mockResolvedValueOnce(Response.json(REFUSAL, { status: 401 }));
    asked.mockResolvedValueOnce(Response.json({ pk: 1 }));
    const { session: renewable, told } = session("renewed");
    expect((await askAs(renewable, request())).status).toBe(200);
    expect(tokens()).toEqual(["Bearer first", "Bearer second"]);
    expect(told).toEqual([]);
  });

  it("ends a session whose newer token is refused as well, and says why", async () => {
    asked.mockImplementation(async () => Response.json(REFUSAL, { status: 401 }));
    const { session: renewable, told } = session("renewed");
    expect((await askAs(renewable, request())).status).toBe(401);
    expect(tokens()).toHaveLength(2);
    expect(told).toEqual(["Your access ended: the user is deactivated."]);
  });

  it("does not ask a second time where the session cannot be renewed now", async () => {
    asked.mockResolvedValueOnce(Response.json(REFUSAL, { status: 401 }));
    const { session: away } = session("unreachable");
    expect((await askAs(away, request())).status).toBe(401);
    expect(tokens()).toHaveLength(1);
  });
});

describe("answer", () => {
  const outcome = (status: number, error: unknown, headers = {}) =>
    answer(Promise.resolve({ error, response: new Response(null, { status, headers }) }));

  it("throws the problem that the API tells, with the time to wait", async () => {
    const told = outcome(429, { title: "Too Many Requests", detail: "slow down" }, { "retry-after": "3" });
    const problem = await told.catch((thrown: unknown) => thrown);
    expect(problem).toBeInstanceOf(Problem);
    expect(problem).toMatchObject({ status: 429, message: "slow down", retryAfter: 3, isPassing: true });
  });

  it("takes an answer that is no problem document for what its status says", async () => {
    const problem = await outcome(502, "<html>Bad gateway</html>").catch((thrown: unknown) => thrown);
    expect(problem).toMatchObject({ status: 502, title: "Status 502", isPassing: true });
  });

  it("says that the API is away where there is no answer", async () => {
    const thrown = await answer(Promise.reject(new TypeError("Failed to fetch"))).catch((cause) => cause);
    expect(thrown).toMatchObject({ status: null, title: "No answer" });
  });
});
