import { type RecordedEvent, userOf } from "../event/event.ts";

/** Names of users, collected from events and lookups. Events identify the acting user by key only. */
export class NameCache {
  private readonly names = new Map<number, string>();
  private readonly lookups = new Set<number>();
  private readonly listeners = new Set<() => void>();
  private version = 0;

  readonly getVersion = (): number => this.version;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  get(pk: number): string | null {
    return this.names.get(pk) ?? null;
  }

  learn(pk: number, name: string): void {
    if (this.setName(pk, name)) this.notify();
  }

  /** Notifies listeners once for all events, since every visible sentence listens. */
  learnFromEvents(events: readonly RecordedEvent[]): void {
    const nNew = events.filter((event) => {
      const pk = userOf(event);
      if (pk === null || !event.known || !("user" in event.data) || event.type === "user-erased")
        return false;
      return this.setName(pk, event.data.user.name || event.data.user.username);
    }).length;
    if (nNew > 0) this.notify();
  }

  /** Removes everything, so that the next user does not see names that only the previous user could see. */
  clear(): void {
    this.names.clear();
    this.lookups.clear();
    this.notify();
  }

  /** Whether to look up the name of a user. Returns true once per user. */
  claimLookup(pk: number): boolean {
    if (this.names.has(pk) || this.lookups.has(pk)) return false;
    this.lookups.add(pk);
    return true;
  }

  private setName(pk: number, name: string): boolean {
    if (!name || this.names.get(pk) === name) return false;
    this.names.set(pk, name);
    return true;
  }

  private notify(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}
