import createClient from "openapi-fetch";
import type { Api } from "../api/client.ts";
import type { paths } from "../api/schema.gen.ts";

/** An API that answers as a test says. */
export function apiOf(answer: (request: Request) => Response | Promise<Response>): Api {
  return createClient<paths>({ baseUrl: "http://localhost", fetch: async (request) => answer(request) });
}
