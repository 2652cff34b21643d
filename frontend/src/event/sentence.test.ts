import { describe, expect, it } from "vitest";
import { parseLine } from "./event.ts";
import { SAMPLES, sample } from "./samples.ts";
import { plainText, sentence } from "./sentence.ts";
import { EVENT_TYPES } from "./types.gen.ts";

const SENTENCES: Record<string, string> = {
  "group-created": "Group navy was created, by Ada",
  "group-deleted": "Group navy was deleted, by Ada",
  "group-updated": "Group navy changed: name, by Ada",
  "user-authorized-application": "Grace Höpper 🚀 opened Example",
  "user-deactivated": "Grace Höpper 🚀 was deactivated, by Ada",
  "user-deleted": "Grace Höpper 🚀 was deleted, found by reconciliation",
  "user-erased": "All records of user 42 were erased",
  "user-impersonation-ended": "Grace Höpper 🚀 stopped impersonating another user",
  "user-impersonation-started": "Grace Höpper 🚀 started impersonating user 8",
  "user-joined-group": "Grace Höpper 🚀 joined navy, by Ada",
  "user-left-group": "Grace Höpper 🚀 left navy, by Ada",
  "user-linked-source": "Grace Höpper 🚀 linked GitHub",
  "user-logged-in": "Grace Höpper 🚀 signed in from 192.0.2.7",
  "user-logged-out": "Grace Höpper 🚀 signed out from 192.0.2.7",
  "user-login-failed": "Failed sign-in as Grace Höpper 🚀 from 192.0.2.7",
  "user-password-changed": "The password of Grace Höpper 🚀 was changed",
  "user-reactivated": "Grace Höpper 🚀 was reactivated, resync requested by user 1",
  "user-registered": "Grace Höpper 🚀 registered, by Ada",
  "user-registered-partial":
    "Gone Soon registered, but was deleted before their details could be read, by Ada",
  "user-suspicious-request": "Grace Höpper 🚀 made a suspicious request from 192.0.2.7",
  "user-updated": "Grace Höpper 🚀 changed: name, by Ada",
};

const nameOf = (pk: number) => (pk === 3 ? "Ada" : null);

describe("sentence", () => {
  it.each(SAMPLES)("describes a golden %s", (name) => {
    const event = sample(name);
    expect(event.known).toBe(true);
    expect(plainText(sentence(event, nameOf))).toBe(SENTENCES[name]);
  });

  it("is tested with every event type", () => {
    const tested = new Set(SAMPLES.map((name) => sample(name).type));
    expect([...tested].sort()).toEqual([...EVENT_TYPES].sort());
  });

  it("names the type of an event that this version does not know", () => {
    const { raw } = sample("user-updated");
    const newer = parseLine(raw.replace('"user-updated"', '"user-moved"'));
    expect(newer?.known).toBe(false);
    expect(newer && plainText(sentence(newer, nameOf))).toContain("user-moved");
  });
});

describe("parseLine", () => {
  it.each(["", "{", "[]", "null", '{"id":"a"}'])("returns null for %j, which is not an event", (line) => {
    expect(parseLine(line)).toBeNull();
  });

  it("treats an event without a username as unknown", () => {
    const { raw } = sample("user-updated");
    expect(parseLine(raw.replace('"username":', '"missing":'))?.known).toBe(false);
  });
});
