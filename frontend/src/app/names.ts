import { type RecordedEvent, userOf } from "../event/event.ts";

/** What users are called, learnt from whatever comes along: events name others by key alone. */
export class NameBook {
  private readonly names = new Map<number, string>();
  private readonly asked = new Set<number>();
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
    if (this.note(pk, name)) this.changed();
  }

  /** Learns from many at once: every sentence in sight looks again when a name changes. */
  learnFrom(events: readonly RecordedEvent[]): void {
    const nNew = events.filter((event) => {
      const pk = userOf(event);
      if (pk === null || !event.known || !("user" in event.data) || event.type === "user-erased")
        return false;
      return this.note(pk, event.data.user.name || event.data.user.username);
    }).length;
    if (nNew > 0) this.changed();
  }

  /** What one person knew is not for the next. */
  forget(): void {
    this.names.clear();
    this.asked.clear();
    this.changed();
  }

  /** Nobody is asked for twice. */
  shouldAsk(pk: number): boolean {
    if (this.names.has(pk) || this.asked.has(pk)) return false;
    this.asked.add(pk);
    return true;
  }

  private note(pk: number, name: string): boolean {
    if (!name || this.names.get(pk) === name) return false;
    this.names.set(pk, name);
    return true;
  }

  private changed(): void {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }
}
