import { isFields } from "../event/event.ts";

/** What the API answered instead of what was asked for (RFC 9457), or that it did not answer. */
export class Problem extends Error {
  /** HTTP status; nothing where there was no answer. */
  readonly status: number | null;
  readonly title: string;
  /** Seconds after which to ask again, where the API says so. */
  readonly retryAfter: number | null;

  constructor(status: number | null, title: string, detail: string, retryAfter: number | null = null) {
    super(detail);
    this.name = "Problem";
    this.status = status;
    this.title = title;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may work later. */
  get isPassing(): boolean {
    return this.status === null || this.status === 429 || this.status >= 500;
  }
}

/** Reads an error answer, whatever it is. */
export async function problemOf(response: Response): Promise<Problem> {
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => null);
  const told = isFields(body) ? body : {};
  const title = typeof told.title === "string" ? told.title : `Status ${response.status}`;
  const detail = typeof told.detail === "string" ? told.detail : "the answer does not say why";
  return new Problem(response.status, title, detail, retryAfterOf(response));
}

/** Seconds of `Retry-After`. */
export function retryAfterOf(response: Response): number | null {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds : null;
}

/** Any failure as a problem, so that pages show all in the same way. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError)
    return new Problem(null, "No answer", "The API cannot be reached. Is it running?");
  return new Problem(null, "Error", error instanceof Error ? error.message : String(error));
}
