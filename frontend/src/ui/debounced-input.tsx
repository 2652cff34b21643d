import { TextInput, type TextInputProps } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useEffect, useRef, useState } from "react";

const DELAY_MS = 250;

interface Props extends Omit<TextInputProps, "value" | "defaultValue" | "onChange"> {
  value: string;
  onChange: (text: string) => void;
}

/** A text field that reports its trimmed text after a pause in typing. A changed `value` replaces the text. */
export function DebouncedInput({ value, onChange, ...others }: Props) {
  const [text, setText] = useState(value);
  const reported = useRef(value);
  const report = useDebouncedCallback((next: string) => {
    reported.current = next;
    onChange(next);
  }, DELAY_MS);
  useEffect(() => {
    if (value === reported.current) return;
    reported.current = value;
    report.cancel();
    setText(value);
  }, [value, report]);
  return (
    <TextInput
      {...others}
      value={text}
      onChange={({ currentTarget }) => {
        setText(currentTarget.value);
        report(currentTarget.value.trim());
      }}
    />
  );
}
