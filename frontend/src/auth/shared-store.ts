import type { StateStore } from "oidc-client-ts";

const NAME = "authentik-events-session";
const TABLE = "session";

/**
 * A store that all tabs of a browser share, with consistent reads.
 *
 * Local storage has no consistent reads: a tab that has just acquired a lock can still read the value that the previous
 * holder replaced. An IndexedDB transaction sees all writes of the transactions that completed before it began.
 */
export class SharedStore implements StateStore {
  private readonly database = open();
  private readonly channel = new BroadcastChannel(NAME);

  /** Calls `listener` after each write of another tab. */
  onChange(listener: () => void): void {
    this.channel.addEventListener("message", listener);
  }

  async get(key: string): Promise<string | null> {
    const value: unknown = await this.transact("readonly", (table) => table.get(key));
    return typeof value === "string" ? value : null;
  }

  async set(key: string, value: string): Promise<void> {
    await this.transact("readwrite", (table) => table.put(value, key));
    this.channel.postMessage(null);
  }

  async remove(key: string): Promise<string | null> {
    const value = await this.get(key);
    if (value === null) return null;
    await this.transact("readwrite", (table) => table.delete(key));
    this.channel.postMessage(null);
    return value;
  }

  async getAllKeys(): Promise<string[]> {
    const keys = await this.transact("readonly", (table) => table.getAllKeys());
    return keys.map(String);
  }

  private async transact<T>(
    mode: IDBTransactionMode,
    send: (table: IDBObjectStore) => IDBRequest<T>,
  ): Promise<T> {
    const transaction = (await this.database).transaction(TABLE, mode);
    const request = send(transaction.objectStore(TABLE));
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
