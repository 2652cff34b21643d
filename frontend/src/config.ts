import { isFields } from "./event/event.ts";

/** Settings that the page loads from the API at start, so that one build serves every installation. */
export interface Config {
  /** The issuer of tokens, including its trailing slash. */
  issuer: string;
  clientId: string;
  redirectPath: string;
  /** The sign-up page; null if sign-up is disabled. */
  enrollmentUrl: string | null;
}

export function parseConfig(value: unknown): Config {
  if (!isFields(value)) throw new Error("/config.json is not a JSON object; check the API's version");
  const { issuer, client_id, redirect_uri_path, enrollment_url } = value;
  if (typeof issuer !== "string" || typeof client_id !== "string" || typeof redirect_uri_path !== "string") {
    throw new Error("/config.json lacks issuer, client_id or redirect_uri_path; check the API's version");
  }
  return {
    issuer,
    clientId: client_id,
    redirectPath: redirect_uri_path,
    enrollmentUrl: typeof enrollment_url === "string" ? enrollment_url : null,
  };
}

export async function loadConfig(): Promise<Config> {
  const response = await fetch("/config.json");
  if (!response.ok)
    throw new Error(`/config.json has status ${response.status}; check that the API is running`);
  return parseConfig(await response.json());
}
