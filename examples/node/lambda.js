// The notes as a function of AWS Lambda, behind a function URL. Between two calls the process is frozen: nothing runs, and the
// next call may come an hour later. The client asks classic first in each read, so it then finds where reads go now.

import { Client } from "./contract.js";
import { answer } from "./notes.js";

let db = null; // lives as long as the process; a cold start makes it

export async function handler(event) {
  db ??= new Client({
    classic: process.env.CLASSIC_URL, limitless: process.env.LIMITLESS_URL, name: "notes-function", poolSize: 1,
  });
  if (!db.opened) await db.open();
  const token = (event.cookies ?? []).map((cookie) => /^writes=([\w-]+)$/.exec(cookie)?.[1]).find(Boolean);
  const { method, path } = event.requestContext.http;
  const body = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body;
  const found = await answer(db, { method, path, body, token });
  await db.leave(); // so that no rollback waits for a process that sleeps; the next read registers it again
  return {
    statusCode: found.status,
    body: found.body,
    cookies: found.token ? [`writes=${found.token}; Max-Age=60; Path=${found.below}; HttpOnly`] : [],
  };
}
