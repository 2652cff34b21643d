import { MantineProvider } from "@mantine/core";
import { cleanup, render } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach } from "vitest";

afterEach(cleanup);

/** Puts a component on a page, as it stands in ours. */
export function show(component: ReactNode) {
  const inPage = (content: ReactNode) => <MantineProvider env="test">{content}</MantineProvider>;
  const { rerender } = render(inPage(component));
  return { showNow: (other: ReactNode) => rerender(inPage(other)) };
}
