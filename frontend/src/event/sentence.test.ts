import { describe, expect, it } from "vitest";
import { parseLine } from "./event.ts";
import { SAMPLES, sample } from "./samples.ts";
import { plain, sentence } from "./sentence.ts";
import { EVENT_TYPES } from "./types.gen.ts";

const SENTENCES: Record<string, string> = {
  "group-created": "Group navy was created, by Ada",
  "group-deleted": "Group navy was deleted, by Ada",
  "group-updated": "Group navy changed: name, by Ada",
  "user-authorized-application": "Grace Höpper 🚀 opened Example",
  "user-deactivated": "Grace Höpper 🚀 was deactivated, by Ada",
  "user-deleted": "Grace Höpper 🚀 was deleted, found by comparison",
  "user-erased": "Everything recorded of user 42 was erased",
  "user-impersonation-ended": "Grace Höpper 🚀 ceased to act as somebody else",
  "user-impersonation-started": "Grace Höpper 🚀 began to act as user 8",
  "user-joined-group": "Grace Höpper 🚀 joined navy, by Ada",
  "user-left-group": "Grace Höpper 🚀 left navy, by Ada",
  "user-linked-source": "Grace Höpper 🚀 linked GitHub",
  "user-logged-in": "Grace Höpper 🚀 signed in from 192.0.2.7",
  "user-logged-out": "Grace Höpper 🚀 signed out from 192.0.2.7",
  "user-login-failed": "Somebody failed to sign in as Grace Höpper 🚀 from 192.0.2.7",
  "user-password-changed": "Grace Höpper 🚀 got a new password",
  "user-reactivated": "Grace Höpper 🚀 was reactivated, seen on request of user 1",
  "user-registered": "Grace Höpper 🚀 registered, by Ada",
  "user-registered-partial": "Gone Soon registered, and was gone before they could be read, by Ada",
  "user-suspicious-request": "Grace Höpper 🚀 made a suspicious request from 192.0.2.7",
  "user-updated": "Grace Höpper 🚀 changed: name, by Ada",
};

const nameOf = (pk: number) => (pk === 3 ? "Ada" : null);

describe("sentence", () => {
  it.each(SAMPLES)("says what a golden %s means", (name) => {
    const event = sample(name);
    expect(event.known).toBe(true);
    expect(plain(sentence(event, nameOf))).toBe(SENTENCES[name]);
  });

  it("is tried with every type that there is", () => {
    const tried = new Set(SAMPLES.map((name) => sample(name).type));
    expect([...tried].sort()).toEqual([...EVENT_TYPES].sort());
  });

  it("names an event of a newer version without failing", () => {
    const { raw } = sample("user-updated");
    const newer = parseLine(raw.replace('"user-updated"', '"user-moved"'));
    expect(newer?.known).toBe(false);
    expect(newer && plain(sentence(newer, nameOf))).toContain("user-moved");
  });
});

describe("parseLine", () => {
  it.each(["", "{", "[]", "null", '{"id":"a"}'])("refuses %j, which is no event", (line) => {
    expect(parseLine(line)).toBeNull();
  });

  it("does not trust data that lack their user", () => {
    const { raw } = sample("user-updated");
    expect(parseLine(raw.replace('"username":', '"nobody":'))?.known).toBe(false);
  });
});
