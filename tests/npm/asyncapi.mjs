// Parses the AsyncAPI document that is named; says what is wrong with it, and what it tells of.
import { Parser, fromFile } from "@asyncapi/parser";

const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
const messages = document?.allMessages().all().map((message) => message.name()) ?? [];
console.log(JSON.stringify({ diagnostics, messages }));
