import { type CSSVariablesResolver, createTheme } from "@mantine/core";

export const theme = createTheme({
  // With lighter ones white text on them is hard to read.
  primaryShade: 8,
  defaultRadius: "sm",
  respectReducedMotion: true,
  autoContrast: true,
});

/** Text of every colour on a tint of the same colour, and text that stands back: 4.5 to 1 at least (WCAG 2, AA). */
export const legible: CSSVariablesResolver = ({ colors }) => {
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
