import { ErrorResponse, OidcClient, type User, UserManager } from "oidc-client-ts";
import type { Config } from "../config.ts";
import { isFields } from "../event/event.ts";
import { SharedStore } from "./shared-store.ts";

/** Starts a renewal early enough that a slow response does not interrupt the session. */
const RENEW_BEFORE_END_S = 10;

const RETRY_MS = 5_000;

const REVOCATION_TIMEOUT_MS = 5_000;

const ENDED_BY_AUTHENTIK = "authentik ended your session. Sign in again.";

export const RENEWAL_FAILED =
  "authentik cannot be reached, so your session cannot be renewed; check that it is running";

/** Lets one tab renew for all: a refresh token works once, and authentik reports a second use as suspicious. */
const RENEWAL_LOCK = "authentik-events-renewal";

export type Renewal = "renewed" | "refused" | "unreachable";

/** The session that all tabs of this browser share, and its access token for the API. */
export class Session {
  readonly manager: UserManager;
  /** Why the session ended; null if the user signed out. */
  endReason: string | null = null;
  /** True while the browser is being redirected to authentik's sign-out page. */
  isSigningOut = false;

  private user: User | null = null;
  private renewal: Promise<Renewal> | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private readonly config: Config;

  constructor(config: Config) {
    this.config = config;
    const store = new SharedStore();
    const redirectUri = new URL(config.redirectPath, location.origin).href;
    this.manager = new UserManager({
      authority: config.issuer,
      client_id: config.clientId,
      redirect_uri: redirectUri,
      // The only URI that authentik knows for this page.
      post_logout_redirect_uri: redirectUri,
      scope: "openid profile email offline_access",
      // Shared by all tabs, and kept over a reload. A malicious script could misuse any other store too; the content
      // security policy blocks such scripts.
      userStore: store,
      automaticSilentRenew: false,
      accessTokenExpiringNotificationTimeInSeconds: RENEW_BEFORE_END_S,
    });
    this.manager.events.addUserLoaded((user) => {
      this.user = user;
      this.endReason = null;
    });
    this.manager.events.addUserUnloaded(() => {
      this.user = null;
    });
    this.manager.events.addAccessTokenExpiring(() => void this.renew());
    store.onChange(() => void this.syncWithOtherTabs());
  }

  /** Resumes the session of an earlier visit. */
  async restore(): Promise<void> {
    this.user = await this.manager.getUser();
    if (this.user?.expired) await this.renew();
  }

  /** A valid token; null if the session has ended. Throws if the token has expired and authentik is unavailable. */
  async accessToken(): Promise<string | null> {
    if (this.user?.expired && (await this.renew()) === "unreachable") {
      throw new Error(RENEWAL_FAILED);
    }
    return this.user?.access_token ?? null;
  }

  /** Replaces the token `used` by a newer one. If authentik refuses, the session ends for `endReason`. */
  async renew(used = this.user?.access_token, endReason = ENDED_BY_AUTHENTIK): Promise<Renewal> {
    this.renewal ??= navigator.locks
      .request(RENEWAL_LOCK, () => this.renewUnderLock(used, endReason))
      .finally(() => {
        this.renewal = null;
      });
    return await this.renewal;
  }

  /** Ends the session for a reason that the welcome page shows. */
  async end(reason: string): Promise<void> {
    this.endReason ??= reason;
    await this.manager.removeUser();
  }

  async signIn(returnTo: string): Promise<void> {
    await this.manager.signinRedirect({ state: { returnTo } });
  }

  /** Signs up and then in. The sign-in address is passed as a path, since authentik only continues to its own paths. */
  async signUp(returnTo: string): Promise<void> {
    if (!this.config.enrollmentUrl) return;
    const client = new OidcClient(this.manager.settings, this.manager.metadataService);
    const request = await client.createSigninRequest({ request_type: "si:r", state: { returnTo } });
    const { pathname, search } = new URL(request.url);
    location.assign(`${this.config.enrollmentUrl}?${new URLSearchParams({ next: pathname + search })}`);
  }

  async signOut(): Promise<void> {
    this.endReason = null;
    this.isSigningOut = true;
    try {
      // A renewal in another tab would restore the session.
      await navigator.locks.request(RENEWAL_LOCK, async () => {
        await this.revokeRefreshToken();
        await this.manager.signoutRedirect();
      });
    } catch {
      this.isSigningOut = false;
      await this.end(
        "You are signed out here, but authentik could not be reached: your session there is still active. Sign out there.",
      );
    }
  }

  /** Makes authentik refuse the refresh token, which otherwise outlives the session by weeks. */
  private async revokeRefreshToken(): Promise<void> {
    const token = (await this.manager.getUser())?.refresh_token;
    const endpoint = await this.manager.metadataService.getRevocationEndpoint();
    if (!token || !endpoint) return;
    const form = { token, token_type_hint: "refresh_token", client_id: this.config.clientId };
    // authentik lets no page read the response: this endpoint has no CORS headers.
    await fetch(endpoint, {
      method: "POST",
      mode: "no-cors",
      body: new URLSearchParams(form),
      signal: AbortSignal.timeout(REVOCATION_TIMEOUT_MS),
    });
  }

  private async renewUnderLock(used: string | undefined, endReason: string): Promise<Renewal> {
    // Another tab may have renewed the session while this one waited for the lock.
    const stored = await this.manager.getUser();
    if (!stored) return "refused";
    if (stored.access_token !== used && !stored.expired) {
      await this.manager.getUser(true);
      return "renewed";
    }
    if (!stored.refresh_token) {
      await this.end(endReason);
      return "refused";
    }
    try {
      await this.manager.signinSilent();
      return "renewed";
    } catch (error) {
      if (!(error instanceof ErrorResponse)) {
        clearTimeout(this.retry);
        this.retry = setTimeout(() => void this.renew(used, endReason), RETRY_MS);
        return "unreachable";
      }
      await this.end(endReason);
      return "refused";
    }
  }

  /** Applies a sign-in, renewal or sign-out of another tab. */
  private async syncWithOtherTabs(): Promise<void> {
    const stored = await this.manager.getUser();
    if (stored === null && this.user !== null) await this.manager.events.unload();
    if (stored !== null && stored.access_token !== this.user?.access_token) await this.manager.getUser(true);
  }
}

/** Where to continue after a sign-in. Any path outside of this page becomes `/`. */
export function returnPath(state: unknown): string {
  const path = isFields(state) && typeof state.returnTo === "string" ? state.returnTo : "/";
  return path.startsWith("/") && !path.startsWith("//") && !path.startsWith("/auth/") ? path : "/";
}
