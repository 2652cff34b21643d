import { type CSSVariablesResolver, createTheme } from "@mantine/core";

export const theme = createTheme({
  // White text on lighter shades is hard to read.
  primaryShade: 8,
  defaultRadius: "sm",
  respectReducedMotion: true,
  autoContrast: true,
});

/** Gives coloured text on its own tint, and dimmed text, a contrast of at least 4.5 to 1 (WCAG 2, level AA). */
export const readableColors: CSSVariablesResolver = ({ colors }) => {
  const onTint = (text: (color: string) => string) =>
    Object.fromEntries(
      Object.keys(colors).map((color) => [`--mantine-color-${color}-light-color`, text(color)]),
    );
  return {
    variables: {},
    light: {
      ...onTint((color) => `color-mix(in srgb, var(--mantine-color-${color}-9), black 35%)`),
      "--mantine-color-dimmed": "var(--mantine-color-gray-7)",
    },
    dark: {
      ...onTint((color) => `var(--mantine-color-${color}-2)`),
      "--mantine-color-dimmed": "var(--mantine-color-dark-1)",
    },
  };
};
