// The notes over HTTP. PORT, CLASSIC_URL, LIMITLESS_URL.

import { createServer } from "node:http";
import { Client } from "./contract.js";
import { answer } from "./notes.js";

const db = await new Client({ classic: process.env.CLASSIC_URL, limitless: process.env.LIMITLESS_URL, name: "notes" }).open();

const server = createServer(async (request, response) => {
  try {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const token = /(?:^|; )writes=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1];
    const body = Buffer.concat(chunks).toString();
    const found = await answer(db, { method: request.method, path: request.url, body, token });
    const cookie = found.token ? { "set-cookie": `writes=${found.token}; Max-Age=60; Path=${found.below}; HttpOnly` } : {};
    response.writeHead(found.status, { "content-type": "text/plain; charset=utf-8", ...cookie }).end(found.body);
  } catch (error) {
    console.error(error.message);
    response.writeHead(500).end("an error");
  }
});

server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));

process.on("SIGTERM", () => server.close(async () => { await db.close(); process.exit(0); }));
