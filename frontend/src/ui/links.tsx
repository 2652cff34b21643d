import { Anchor, type AnchorProps } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

interface Props extends AnchorProps {
  children: ReactNode;
}

export function UserLink({ pk, ...props }: Props & { pk: number }) {
  const params = { pk: String(pk) };
  return <Anchor {...props} renderRoot={(root) => <Link {...root} to="/users/$pk" params={params} />} />;
}

export function GroupLink({ uuid, ...props }: Props & { uuid: string }) {
  return <Anchor {...props} renderRoot={(root) => <Link {...root} to="/groups/$uuid" params={{ uuid }} />} />;
}
