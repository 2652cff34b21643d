import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const api = process.env.API_URL ?? "http://localhost:3000";

export default defineConfig({
  plugins: [react()],
  // While the front end is worked on, everything else comes from what `make run` started.
  server: { port: 5173, proxy: { "/api": api, "/config.json": api } },
  build: { target: "es2023", sourcemap: false },
  test: { include: ["src/**/*.test.{ts,tsx}"], restoreMocks: true },
});
