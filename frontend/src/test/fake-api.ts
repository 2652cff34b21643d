import createClient from "openapi-fetch";
import type { Api } from "../api/client.ts";
import type { paths } from "../api/schema.gen.ts";

/** An API client whose responses come from `respond`. */
export function fakeApi(respond: (request: Request) => Response | Promise<Response>): Api {
  return createClient<paths>({ baseUrl: "http://localhost", fetch: async (request) => respond(request) });
}
