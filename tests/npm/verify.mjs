// Verifies the webhook on standard input, {"secret", "body", "headers"}, as a receiver in JavaScript does.
import { Webhook } from "standardwebhooks";

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { secret, body, headers } = JSON.parse(Buffer.concat(chunks));
console.log(JSON.stringify(new Webhook(secret).verify(body, headers)));
