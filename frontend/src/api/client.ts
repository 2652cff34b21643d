import createClient, { type Client } from "openapi-fetch";
import type { Session } from "../auth/session.ts";
import { asProblem, Problem, problemOf } from "./problem.ts";
import type { components, paths } from "./schema.gen.ts";

export type Schemas = components["schemas"];
export type Api = Client<paths>;

/** A client of the API that authenticates as the signed-in user. */
export function createApi(session: Session): Api {
  return createClient<paths>({
    baseUrl: location.origin,
    fetch: (request) => authorizedFetch(session, request),
  });
}

/**
 * Sends a request with the session's token.
 *
 * When the API refuses the token, the session is renewed and the request is sent once more; a second refusal ends the
 * session.
 */
export async function authorizedFetch(session: Session, request: Request): Promise<Response> {
  const token = await session.accessToken();
  if (!token) throw new Problem(401, "Signed out", "Sign in to continue.");
  const response = await fetch(withToken(request.clone(), token));
  if (response.status !== 401) return response;
  const refusal = await problemOf(response);
  if ((await session.renew(token, endReasonOf(refusal))) !== "renewed") return response;
  const newToken = await session.accessToken();
  if (!newToken) throw refusal;
  const secondResponse = await fetch(withToken(request, newToken));
  if (secondResponse.status === 401) await session.end(endReasonOf(await problemOf(secondResponse)));
  return secondResponse;
}

function withToken(request: Request, token: string): Request {
  request.headers.set("authorization", `Bearer ${token}`);
  return request;
}

/** Tells the user why the API refused their token. */
function endReasonOf({ message }: Problem): string {
  // The API writes the general error, a colon, and the reason.
  const reason = message.replace(/^[^:]*: /, "");
  return `Your access has ended: ${reason}. Sign in again or contact an administrator.`;
}

interface Outcome<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Returns the data of a successful request. Throws a `Problem` for any other outcome. */
export async function unwrap<T>(request: Promise<Outcome<T>>): Promise<T> {
  const { data, error, response } = await request.catch((cause: unknown) => {
    throw asProblem(cause);
  });
  if (error !== undefined || !response.ok) throw await problemFrom(error, response);
  // Responses without a body, such as 204, have the type `undefined`.
  return data as T;
}

async function problemFrom(error: unknown, response: Response): Promise<Problem> {
  // The client has already read the body, and keeps it as the error.
  const headers = new Headers(response.headers);
  return await problemOf(new Response(JSON.stringify(error ?? null), { status: response.status, headers }));
}
