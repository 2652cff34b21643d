import { TextInput, type TextInputProps } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useEffect, useRef, useState } from "react";

const DELAY_MS = 250;

interface Props extends Omit<TextInputProps, "value" | "defaultValue" | "onChange"> {
  value: string;
  onChange: (text: string) => void;
}

/** A field whose text is taken a moment after the last key; it follows where the value is changed elsewhere. */
export function LateInput({ value, onChange, ...others }: Props) {
  const [typed, setTyped] = useState(value);
  const told = useRef(value);
  const tell = useDebouncedCallback((text: string) => {
    told.current = text;
    onChange(text);
  }, DELAY_MS);
  useEffect(() => {
    if (value === told.current) return;
    told.current = value;
    tell.cancel();
    setTyped(value);
  }, [value, tell]);
  return (
    <TextInput
      {...others}
      value={typed}
      onChange={({ currentTarget }) => {
        setTyped(currentTarget.value);
        tell(currentTarget.value.trim());
      }}
    />
  );
}
