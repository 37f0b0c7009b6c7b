// Two scripts that a page carries inline: lens.js, the page itself, and space.js, which draws in three dimensions.

import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

const ENTRIES: Record<string, string> = { lens: "src/main.ts", space: "src/views/space.ts" };

// three.js asks that its notice goes wherever its code goes, and a page is a copy.
const notice = `/*! three.js\n${readFileSync("node_modules/three/LICENSE", "utf8").trim()}\n*/`;

export default defineConfig(({ mode }) => ({
  publicDir: false,
  build: {
    target: "es2022",
    outDir: "../src/clearhead/lens/page",
    emptyOutDir: false, // each build writes beside the other
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
    lib: { entry: ENTRIES[mode]!, name: mode, formats: ["iife"], fileName: () => `${mode}.js`, cssFileName: mode },
    rolldownOptions: { output: { postBanner: mode === "space" ? notice : "" } },
  },
}));
