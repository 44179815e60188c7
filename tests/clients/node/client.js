// @grpc/grpc-js: `node client.js ADDRESS`; script.py says what it reads and prints.

"use strict";

const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const grpc = require("@grpc/grpc-js");

const same = (bytes) => bytes;
const hex = (value) => Buffer.from(value || "").toString("hex");
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => (await lines.next()).value;

// grpc-js compresses all calls of a channel, or none.
const address = process.argv[2];
const GZIP = 2;
const channel = (more) =>
  new grpc.Client(address, grpc.credentials.createInsecure(), { "grpc.enable_http_proxy": 0, ...more });
const clients = { plain: channel({}), gzip: channel({ "grpc.default_compression_algorithm": GZIP }) };

function pairs(metadata) {
  return Object.keys(metadata.getMap()).flatMap((key) => metadata.get(key).map((value) => [key, hex(value)]));
}

async function play(line) {
  const [name, kind, method, timeout, encoding, cancel, told, files] = line.split(" ");
  const metadata = new grpc.Metadata();
  for (const pair of told === "-" ? [] : told.split(",")) {
    const [key, value] = pair.split("=");
    const octets = Buffer.from(value, "hex");
    metadata.add(key, key.endsWith("-bin") ? octets : octets.toString());
  }
  const sent = files === "-" ? [] : files.split(",").map((file) => fs.readFileSync(file));
  const options = { deadline: Date.now() + Number(timeout) };
  const client = clients[encoding];
  const messages = [];
  let initial = new grpc.Metadata();
  let heard = () => {};
  let call;
  if (kind === "unary") {
    call = client.makeUnaryRequest(method, same, same, sent[0], metadata, options, (_, answer) => {
      if (answer) messages.push(answer);
    });
  } else {
    call = client.makeBidiStreamRequest(method, same, same, metadata, options);
    call.on("data", (message) => {
      messages.push(message);
      if (cancel === "first") call.cancel();
      heard();
    });
    call.on("error", () => {});
  }
  call.on("metadata", (metadata) => { initial = metadata; });
  const over = new Promise((resolve) => call.on("status", resolve));
  if (cancel === "begun") call.cancel();
  if (kind !== "unary") {
    for (const message of sent) {
      const answered = new Promise((resolve) => { heard = resolve; });
      call.write(message);
      if (kind === "pingpong") await answered;
    }
    call.end();
  }
  if (cancel === "told") {
    await next();
    call.cancel();
  }
  const status = await over;
  // The callback of a unary call comes beside its status, in either order.
  await new Promise(setImmediate);
  const [details] = status.metadata.get("grpc-status-details-bin");
  console.log(JSON.stringify({
    case: name,
    code: status.code,
    text: hex(status.details),
    messages: messages.map(hex),
    details: hex(details),
    initial: pairs(initial),
    trailing: pairs(status.metadata),
  }));
}

async function main() {
  const { version } = JSON.parse(fs.readFileSync(path.join(__dirname, "node_modules/@grpc/grpc-js/package.json")));
  console.log(JSON.stringify({ client: `grpc-js ${version}, Node ${process.versions.node}` }));
  for (let line = await next(); line !== undefined; line = await next()) await play(line);
  Object.values(clients).forEach((client) => client.close());
}

main();
