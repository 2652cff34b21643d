import { MantineProvider } from "@mantine/core";
import { cleanup, render } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach } from "vitest";

afterEach(cleanup);

/** Renders a component inside the providers of the page. */
export function renderInPage(component: ReactNode) {
  const inPage = (content: ReactNode) => <MantineProvider env="test">{content}</MantineProvider>;
  const { rerender } = render(inPage(component));
  return { rerender: (other: ReactNode) => rerender(inPage(other)) };
}
