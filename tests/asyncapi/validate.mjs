// Reads AsyncAPI documents with AsyncAPI's own parser, without a network: validate.mjs FILE...
// Prints what is wrong, a line each, and ends with 1 if anything is.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const parser = new Parser();
let wrong = 0;
for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await parser.parse(await readFile(file, "utf8"), { source: file });
  for (const { code, message, path, severity } of diagnostics) {
    console.log(`${file}: ${["error", "warning", "info", "hint"][severity]}: ${code}: ${message} (at ${path.join(".")})`);
  }
  wrong += diagnostics.length;
  if (document && !diagnostics.length) {
    const sizes = [document.channels().length, document.operations().length, document.messages().length];
    console.log(`${file}: AsyncAPI ${document.version()}, ${sizes.join("/")} channels/operations/messages`);
  }
}
process.exitCode = wrong ? 1 : 0;
