import {
  ActionIcon,
  Anchor,
  AppShell,
  Burger,
  Group,
  NavLink,
  Text,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  type Icon,
  IconActivity,
  IconChartBar,
  IconLogout,
  IconMoonStars,
  IconSettings,
  IconUser,
  IconUsers,
  IconUsersGroup,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { meQuery } from "../api/queries.ts";
import { ConnectionBadge } from "../feed/connection-badge.tsx";
import { useApp, useIsAdmin } from "./context.tsx";

interface Page {
  to: string;
  label: string;
  icon: Icon;
  forAdmins: boolean;
}

const PAGES: readonly Page[] = [
  { to: "/", label: "Feed", icon: IconActivity, forAdmins: false },
  { to: "/users", label: "Users", icon: IconUsers, forAdmins: true },
  { to: "/groups", label: "Groups", icon: IconUsersGroup, forAdmins: true },
  { to: "/activity", label: "Activity", icon: IconChartBar, forAdmins: true },
  { to: "/operations", label: "Operations", icon: IconSettings, forAdmins: true },
  { to: "/me", label: "My account", icon: IconUser, forAdmins: false },
];

/** The frame around every page: navigation, account, and the state of the feed. */
export function Shell() {
  const [isOpen, { toggle, close }] = useDisclosure();
  return (
    <AppShell
      header={{ height: 48 }}
      navbar={{ width: 176, breakpoint: "sm", collapsed: { mobile: !isOpen } }}
      padding="md"
    >
      <AppShell.Header>
        <a className="skip" href="#content">
          Skip to content
        </a>
        <Group h="100%" px="sm" justify="space-between" wrap="nowrap" gap="xs">
          <Group gap="xs" wrap="nowrap">
            <Burger
              opened={isOpen}
              onClick={toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label="Pages"
              aria-expanded={isOpen}
            />
            <Text fw={700} size="sm" truncate>
              authentik-events
            </Text>
          </Group>
          <Group gap="xs" wrap="nowrap">
            <ConnectionBadge />
            <ThemeSwitch />
            <Account />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label="Pages">
        <Pages onNavigate={close} />
      </AppShell.Navbar>
      <AppShell.Main id="content">
        <Outlet />
      </AppShell.Main>
    </AppShell>
  );
}

function Pages({ onNavigate }: { onNavigate: () => void }) {
  const isAdmin = useIsAdmin();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const allowed = PAGES.filter(({ forAdmins }) => isAdmin || !forAdmins);
  return allowed.map(({ to, label, icon: PageIcon }) => {
    const isCurrent = to === "/" ? path === "/" : path.startsWith(to);
    return (
      <NavLink
        key={to}
        label={label}
        leftSection={<PageIcon size={16} aria-hidden />}
        active={isCurrent}
        aria-current={isCurrent ? "page" : undefined}
        onClick={onNavigate}
        renderRoot={(props) => <Link {...props} to={to} />}
      />
    );
  });
}

export function ThemeSwitch() {
  const { toggleColorScheme } = useMantineColorScheme();
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      aria-label="Toggle light and dark theme"
      onClick={() => toggleColorScheme()}
    >
      <IconMoonStars size={18} aria-hidden />
    </ActionIcon>
  );
}

function Account() {
  const { api, session } = useApp();
  const me = useQuery(meQuery(api)).data;
  const name = me?.user?.name || me?.user?.username || "your account";
  return (
    <>
      <Anchor
        size="sm"
        visibleFrom="sm"
        truncate
        maw="12rem"
        c="dimmed"
        renderRoot={(props) => <Link {...props} to="/me" />}
      >
        {name}
      </Anchor>
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label="Sign out"
        title="Sign out"
        onClick={() => void session.signOut()}
      >
        <IconLogout size={18} aria-hidden />
      </ActionIcon>
    </>
  );
}
