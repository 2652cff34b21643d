import { isFields } from "./event/event.ts";

/** What the API tells the page at start, so that one build runs everywhere. */
export interface Config {
  /** With its slash, as it stands in tokens. */
  issuer: string;
  clientId: string;
  redirectPath: string;
  /** Where to sign up; nothing where nobody may. */
  enrollmentUrl: string | null;
}

export function parseConfig(value: unknown): Config {
  if (!isFields(value)) throw new Error("/config.json is no object");
  const { issuer, client_id, redirect_uri_path, enrollment_url } = value;
  if (typeof issuer !== "string" || typeof client_id !== "string" || typeof redirect_uri_path !== "string") {
    throw new Error("/config.json lacks issuer, client_id or redirect_uri_path");
  }
  return {
    issuer,
    clientId: client_id,
    redirectPath: redirect_uri_path,
    enrollmentUrl: typeof enrollment_url === "string" ? enrollment_url : null,
  };
}

export async function loadConfig(): Promise<Config> {
  const answer = await fetch("/config.json");
  if (!answer.ok) throw new Error(`/config.json answered ${answer.status}`);
  return parseConfig(await answer.json());
}
