import { Table } from "@mantine/core";
import type { ReactNode } from "react";

/** Lets content that is wider than the page scroll on its own, also by keyboard. */
export function HorizontalScroll({ label, children }: { label: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: keyboard users must be able to focus and scroll this area
    <section className="table-scroll" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}

interface Props {
  label: string;
  /** The header cells. */
  head: ReactNode;
  /** The rows. */
  children: ReactNode;
  withBorder?: boolean;
}

export function ScrollTable({ label, head, children, withBorder = true }: Props) {
  return (
    <HorizontalScroll label={label}>
      <Table withTableBorder={withBorder} fz="sm" verticalSpacing={4} aria-label={label}>
        <Table.Thead>
          <Table.Tr>{head}</Table.Tr>
        </Table.Thead>
        <Table.Tbody>{children}</Table.Tbody>
      </Table>
    </HorizontalScroll>
  );
}
