import { isFields } from "../event/event.ts";

/** A failed request: the API's problem document (RFC 9457), or the lack of a response. */
export class Problem extends Error {
  /** HTTP status; null without a response. */
  readonly status: number | null;
  readonly title: string;
  /** Seconds to wait before a retry, if the API gives them. */
  readonly retryAfter: number | null;

  constructor(status: number | null, title: string, detail: string, retryAfter: number | null = null) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.title = title;
    this.retryAfter = retryAfter;
  }

  /** Whether a retry of the same request can succeed. */
  get isTransient(): boolean {
    return this.status === null || this.status === 429 || this.status >= 500;
  }
}

/** Reads an error response, with or without a problem document. */
export async function problemOf(response: Response): Promise<Problem> {
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => null);
  const fields = isFields(body) ? body : {};
  const title = typeof fields.title === "string" ? fields.title : `Status ${response.status}`;
  const detail =
    typeof fields.detail === "string" ? fields.detail : "the server gave no reason; check the API's log";
  return new Problem(response.status, title, detail, retryAfterOf(response));
}

function retryAfterOf(response: Response): number | null {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : null;
}

/** Converts any failure, so that all pages show failures in the same way. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError)
    return new Problem(null, "No response", "The API cannot be reached. Check your network and the API.");
  return new Problem(null, "Error", error instanceof Error ? error.message : String(error));
}
