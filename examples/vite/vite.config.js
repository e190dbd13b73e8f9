import { defineConfig } from "vite";

export default defineConfig({
  server: {
    port: 5173,
    strictPort: true, // devtls.toml names this port: fail rather than move to another
    allowedHosts: [".dev.local", ".test"], // .localhost is allowed anyway
  },
});
