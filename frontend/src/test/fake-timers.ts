import { afterEach, beforeEach, vi } from "vitest";

/** Fakes timers in each test of the calling file or `describe`. */
export function fakeTimers(): void {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
}
