import { ErrorResponse, OidcClient, type User, UserManager } from "oidc-client-ts";
import type { Config } from "../config.ts";
import { isFields } from "../event/event.ts";
import { SharedStore } from "./shared-store.ts";

/** Renewed so long before the end that a slow answer is no gap. */
const RENEW_BEFORE_END_S = 10;

const RETRY_MS = 5_000;

/** One tab renews for all: a refresh token is good once, and its second use is reported as suspicious. */
const RENEWAL_LOCK = "authentik-events-renewal";

export type Renewal = "renewed" | "refused" | "unreachable";

/** Who is signed in, in every tab of this browser; and the token that the API takes. */
export class Session {
  readonly manager: UserManager;
  /** Why the session ended, where it did not end by the person's own wish. */
  ended: string | null = null;
  /** Signed out here, and on the way to authentik to be signed out there. */
  isLeaving = false;

  private user: User | null = null;
  private renewal: Promise<Renewal> | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private readonly config: Config;

  constructor(config: Config) {
    this.config = config;
    const store = new SharedStore();
    this.manager = new UserManager({
      authority: config.issuer,
      client_id: config.clientId,
      redirect_uri: new URL(config.redirectPath, location.origin).href,
      post_logout_redirect_uri: location.origin,
      scope: "openid profile email offline_access",
      // For all tabs, and after a reload. A script that could read this could use any other store as well;
      // the content security policy keeps such scripts out.
      userStore: store,
      automaticSilentRenew: false,
      accessTokenExpiringNotificationTimeInSeconds: RENEW_BEFORE_END_S,
    });
    this.manager.events.addUserLoaded((user) => {
      this.user = user;
      this.ended = null;
    });
    this.manager.events.addUserUnloaded(() => {
      this.user = null;
    });
    this.manager.events.addAccessTokenExpiring(() => void this.renew());
    store.onChange(() => void this.follow());
  }

  /** Takes up a session of an earlier visit. */
  async restore(): Promise<void> {
    this.user = await this.manager.getUser();
    if (this.user?.expired) await this.renew();
  }

  /** A token that is good now, or nothing where the session is over. Fails while authentik is away. */
  async bearer(): Promise<string | null> {
    if (this.user?.expired && (await this.renew()) === "unreachable") {
      throw new Error("authentik cannot be reached to renew the session");
    }
    return this.user?.access_token ?? null;
  }

  /** Gets a newer token than the one that was used. Where authentik refuses, the session ends, and this is why. */
  async renew(used = this.user?.access_token, why = "authentik has ended your session."): Promise<Renewal> {
    this.renewal ??= navigator.locks
      .request(RENEWAL_LOCK, () => this.renewAlone(used, why))
      .finally(() => {
        this.renewal = null;
      });
    return await this.renewal;
  }

  /** The session is over, for a reason that the person is told. */
  async end(reason: string): Promise<void> {
    this.ended ??= reason;
    await this.manager.removeUser();
  }

  async signIn(returnTo: string): Promise<void> {
    await this.manager.signinRedirect({ state: { returnTo } });
  }

  /** Signs up, and then in: authentik goes on to addresses of its own alone, so that is where the path leads. */
  async signUp(returnTo: string): Promise<void> {
    if (!this.config.enrollmentUrl) return;
    const client = new OidcClient(this.manager.settings, this.manager.metadataService);
    const request = await client.createSigninRequest({ request_type: "si:r", state: { returnTo } });
    const { pathname, search } = new URL(request.url);
    location.assign(`${this.config.enrollmentUrl}?${new URLSearchParams({ next: pathname + search })}`);
  }

  async signOut(): Promise<void> {
    this.ended = null;
    this.isLeaving = true;
    try {
      // A tab that is renewing would bring the session back.
      await navigator.locks.request(RENEWAL_LOCK, () => this.manager.signoutRedirect());
    } catch {
      this.isLeaving = false;
      await this.end("You are signed out here. authentik cannot be reached: your session there goes on.");
    }
  }

  private async renewAlone(used: string | undefined, why: string): Promise<Renewal> {
    // Another tab may have done it while we waited.
    const stored = await this.manager.getUser();
    if (!stored) return "refused";
    if (stored.access_token !== used && !stored.expired) {
      await this.manager.getUser(true);
      return "renewed";
    }
    if (!stored.refresh_token) {
      await this.end(why);
      return "refused";
    }
    try {
      await this.manager.signinSilent();
      return "renewed";
    } catch (error) {
      if (!(error instanceof ErrorResponse)) {
        clearTimeout(this.retry);
        this.retry = setTimeout(() => void this.renew(used, why), RETRY_MS);
        return "unreachable";
      }
      await this.end(why);
      return "refused";
    }
  }

  /** Does what another tab did. */
  private async follow(): Promise<void> {
    const stored = await this.manager.getUser();
    if (stored === null && this.user !== null) await this.manager.events.unload();
    if (stored !== null && stored.access_token !== this.user?.access_token) await this.manager.getUser(true);
  }
}

/** Where to go on after a sign-in: only to pages of ours. */
export function returnPath(state: unknown): string {
  const path = isFields(state) && typeof state.returnTo === "string" ? state.returnTo : "/";
  return path.startsWith("/") && !path.startsWith("//") && !path.startsWith("/auth/") ? path : "/";
}
