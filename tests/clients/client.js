// A Node client that makes three calls with @grpc/grpc-js and prints what it got.
//
// usage: node client.js ADDRESS GOOD BAD
//
// The same words in and out as client.cc.

"use strict";

const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");

const PREDICT = "/tensorflow.serving.PredictionService/Predict";
const WATCH = "/grpc.health.v1.Health/Watch";
const same = (bytes) => bytes;
const hex = (value) => Buffer.from(value || "").toString("hex");

const [address, good, bad] = process.argv.slice(2);
const client = new grpc.Client(address, grpc.credentials.createInsecure(), { "grpc.enable_http_proxy": 0 });
const options = () => ({ deadline: Date.now() + 20000 });

function tell(status, message) {
  const [details] = status.metadata.get("grpc-status-details-bin");
  console.log([status.code, hex(status.details), hex(message), hex(details)].join(" "));
}

function predict(file) {
  return new Promise((resolve) => {
    let message;
    const call = client.makeUnaryRequest(
      PREDICT, same, same, fs.readFileSync(file), new grpc.Metadata(), options(),
      (_, answer) => { message = answer; },
    );
    call.on("status", (status) => resolve([status, () => message]));
  });
}

function watch() {
  return new Promise((resolve) => {
    let message;
    const call = client.makeServerStreamRequest(WATCH, same, same, Buffer.alloc(0), new grpc.Metadata(), options());
    call.on("data", (answer) => { message = answer; call.cancel(); });
    call.on("error", () => {});
    call.on("status", (status) => resolve([status, () => message]));
  });
}

async function main() {
  for (const make of [() => predict(good), () => predict(bad), watch]) {
    const [status, message] = await make();
    // The callback of a unary call comes beside its status, in either order.
    await new Promise(setImmediate);
    tell(status, message());
  }
  client.close();
}

main();
