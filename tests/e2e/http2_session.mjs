// Node's http2 against one server: many streams at once, trailers both ways, a stream that is given up, no push.
// Arguments: URL, file with the root. Prints what it saw as JSON.
import { connect, constants } from "node:http2";
import { readFileSync } from "node:fs";

const [url, root] = process.argv.slice(2);
const lookup = (_name, options, done) =>
  options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
const session = connect(url, { ca: readFileSync(root), lookup, settings: { enablePush: false } });
const seen = { pushed: 0, goaway: null };
session.on("error", (error) => { console.error(error); process.exit(1); });
session.on("goaway", (code) => { seen.goaway = code; });
session.on("stream", () => { seen.pushed += 1; });

const ask = (headers, body, trailers) => new Promise((resolve, reject) => {
  const stream = session.request(headers, { waitForTrailers: Boolean(trailers), endStream: body === undefined });
  const answer = { octets: 0, text: "" };
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.on("response", (fields) => { answer.status = fields[":status"]; });
  stream.on("trailers", (fields) => { answer.trailers = { ...fields }; });
  stream.on("data", (data) => {
    answer.octets += data.length;
    if (answer.octets < 1000) answer.text += data;
  });
  stream.on("end", () => resolve(answer));
  stream.on("error", reject);
  if (body !== undefined) stream.end(body);
});

const giveUp = () => new Promise((resolve) => {
  const stream = session.request({ ":path": "/wait" });
  stream.on("close", () => resolve(stream.rstCode));
  stream.on("error", () => {});
  // The stream is the app's before it is given up: an answer to a later request says so.
  ask({ ":path": "/count" }).then(() => stream.close(constants.NGHTTP2_CANCEL));
});

await new Promise((resolve) => session.once("remoteSettings", resolve));
seen.settings = session.remoteSettings;
seen.alpn = session.alpnProtocol;
const sizes = Array.from({ length: 100 }, (_, number) => number * 1000);
const answers = await Promise.all(sizes.map((size) => ask({ ":path": `/octets/${size}` })));
seen.sizes = answers.map((answer) => answer.octets);
seen.statuses = [...new Set(answers.map((answer) => answer.status))];
seen.trailers = await ask({ ":path": "/trailers", ":method": "POST", trailer: "x-sum" }, "body", { "x-sum": "12" });
seen.rst = await giveUp();
seen.after = (await ask({ ":path": "/count" })).status;
session.close(() => console.log(JSON.stringify(seen)));
