import type { StateStore } from "oidc-client-ts";

const NAME = "authentik-events-session";
const TABLE = "session";

/**
 * What all tabs of a browser share, and find as the last one left it.
 *
 * Local storage does not promise that: a tab that was just given a lock can still read there what the tab that held
 * it has replaced. A transaction of IndexedDB that began after another one's end sees what that one wrote.
 */
export class SharedStore implements StateStore {
  private readonly database = open();
  private readonly channel = new BroadcastChannel(NAME);

  /** Calls when another tab wrote something. */
  onChange(listener: () => void): void {
    this.channel.addEventListener("message", listener);
  }

  async get(key: string): Promise<string | null> {
    const value: unknown = await this.ask("readonly", (table) => table.get(key));
    return typeof value === "string" ? value : null;
  }

  async set(key: string, value: string): Promise<void> {
    await this.ask("readwrite", (table) => table.put(value, key));
    this.channel.postMessage(null);
  }

  async remove(key: string): Promise<string | null> {
    const value = await this.get(key);
    if (value === null) return null;
    await this.ask("readwrite", (table) => table.delete(key));
    this.channel.postMessage(null);
    return value;
  }

  async getAllKeys(): Promise<string[]> {
    const keys = await this.ask("readonly", (table) => table.getAllKeys());
    return keys.map(String);
  }

  private async ask<T>(mode: IDBTransactionMode, what: (table: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    const transaction = (await this.database).transaction(TABLE, mode);
    const request = what(transaction.objectStore(TABLE));
    await new Promise((resolve, reject) => {
      transaction.addEventListener("complete", resolve);
      transaction.addEventListener("abort", () => reject(transaction.error));
    });
    return request.result;
  }
}

async function open(): Promise<IDBDatabase> {
  return await new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.addEventListener("upgradeneeded", () => request.result.createObjectStore(TABLE));
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}
