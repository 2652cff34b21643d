import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const api = process.env.API_URL ?? "http://localhost:3000";

export default defineConfig({
  plugins: [react()],
  // `npm run dev` forwards these paths to the API that `make run` starts.
  server: { port: 5173, proxy: { "/api": api, "/config.json": api } },
  build: { target: "es2023", sourcemap: false },
  test: { include: ["src/**/*.test.{ts,tsx}"], restoreMocks: true },
});
