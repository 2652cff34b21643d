import createClient, { type Client } from "openapi-fetch";
import type { Session } from "../auth/session.ts";
import { asProblem, Problem, problemOf } from "./problem.ts";
import type { components, paths } from "./schema.gen.ts";

export type Schemas = components["schemas"];
export type Api = Client<paths>;

/** The API, asked in the name of who is signed in. */
export function createApi(session: Session): Api {
  return createClient<paths>({ baseUrl: location.origin, fetch: (request) => askAs(session, request) });
}

/** Sends a request with the session's token; a refused token is renewed once, then the session is over. */
export async function askAs(session: Session, request: Request): Promise<Response> {
  const token = await session.bearer();
  if (!token) throw new Problem(401, "Signed out", "Sign in to go on.");
  const response = await fetch(withToken(request.clone(), token));
  if (response.status !== 401) return response;
  const first = await problemOf(response);
  if ((await session.renew(token, endOf(first))) !== "renewed") return response;
  const newer = await session.bearer();
  if (!newer) throw first;
  const again = await fetch(withToken(request, newer));
  if (again.status === 401) await session.end(endOf(await problemOf(again)));
  return again;
}

function withToken(request: Request, token: string): Request {
  request.headers.set("authorization", `Bearer ${token}`);
  return request;
}

/** What a person is told whose token the API refuses. */
function endOf({ message }: Problem): string {
  return `Your access ended: ${message.replace("the access token is not accepted: ", "")}.`;
}

interface Outcome<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The answer, or the problem thrown. */
export async function answer<T>(asked: Promise<Outcome<T>>): Promise<T> {
  const { data, error, response } = await asked.catch((cause: unknown) => {
    throw asProblem(cause);
  });
  if (error !== undefined || !response.ok) throw await problemFrom(error, response);
  // Answers without a body, such as 204, have no type but `undefined`.
  return data as T;
}

async function problemFrom(error: unknown, response: Response): Promise<Problem> {
  // The body was read already: the client keeps it as the error.
  const headers = new Headers(response.headers);
  return await problemOf(new Response(JSON.stringify(error ?? null), { status: response.status, headers }));
}
