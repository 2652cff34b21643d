import { NativeSelect, Table } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useMemo } from "react";
import { activityQuery } from "../api/queries.ts";
import { useApp } from "../app/context.tsx";
import { count } from "../ui/format.ts";
import { Empty, Loading, PageTitle, ProblemAlert } from "../ui/messages.tsx";
import { ScrollTable } from "../ui/scroll-table.tsx";
import { DAYS, DEFAULT_DAYS } from "./search.ts";
import { type Row, rowsOf, SERIES } from "./series.ts";

const Chart = lazy(async () => ({ default: (await import("./chart.tsx")).Chart }));

/** The number of events per day, as a chart and a table. */
export function ActivityPage() {
  const { api } = useApp();
  const { days = DEFAULT_DAYS } = useSearch({ from: "/activity" });
  const navigate = useNavigate({ from: "/activity" });
  const report = useQuery(activityQuery(api, days));
  const rows = useMemo(() => (report.data ? rowsOf(report.data, days, new Date()) : []), [report.data, days]);
  const isEmpty = rows.every(({ total }) => total === 0);
  return (
    <>
      <PageTitle title="Activity">
        <NativeSelect
          size="xs"
          aria-label="Period"
          data={DAYS.map((n) => ({ value: String(n), label: `${n} days` }))}
          value={String(days)}
          onChange={({ currentTarget }) =>
            void navigate({ search: { days: Number(currentTarget.value) }, replace: true })
          }
        />
      </PageTitle>
      {report.error && <ProblemAlert error={report.error} onRetry={() => void report.refetch()} />}
      {report.isPending && <Loading what="activity" />}
      {report.data && isEmpty && (
        <Empty title="No activity in this period">
          Sign-ins and changes in authentik are counted here. Choose a longer period to see earlier ones.
        </Empty>
      )}
      {report.data && !isEmpty && (
        <>
          <div className="chart">
            <Suspense fallback={<Loading what="the chart" />}>
              <Chart rows={rows} />
            </Suspense>
          </div>
          <CountTable rows={rows} />
        </>
      )}
    </>
  );
}

function CountTable({ rows }: { rows: readonly Row[] }) {
  const newestFirst = rows.filter(({ total }) => total > 0).reverse();
  const head = (
    <>
      <Table.Th>Day (UTC)</Table.Th>
      {[...SERIES.map(({ label }) => label), "All events"].map((label) => (
        <Table.Th key={label} ta="right">
          {label}
        </Table.Th>
      ))}
    </>
  );
  return (
    <ScrollTable label="Events per day" head={head} withBorder={false}>
      {newestFirst.map(({ day, counts, total }) => (
        <Table.Tr key={day}>
          <Table.Th scope="row">{day}</Table.Th>
          {SERIES.map(({ label }, index) => (
            <Table.Td key={label} ta="right">
              {count(counts[index] ?? 0)}
            </Table.Td>
          ))}
          <Table.Td ta="right">{count(total)}</Table.Td>
        </Table.Tr>
      ))}
    </ScrollTable>
  );
}
