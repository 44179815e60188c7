// A C++ client that makes calls of Predict, so many at a time, and times each.
//
// usage: client ADDRESS REQUESTS SECONDS [CONCURRENCY [CODE]]
//
// REQUESTS is a file of records (message, answer), each as a 4-byte little-endian length and its bytes; it goes
// round through them, over eight connections at most. Prints the microseconds of every call, one per line. Exit
// code 1, with the reason on stderr, as soon as one call is not answered with the status CODE (0 unless given) and,
// if that is OK, with exactly the answer.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace {

const std::string kPredict = "/tensorflow.serving.PredictionService/Predict";

bool ReadRecord(std::istream& file, std::string* bytes) {
  std::uint32_t length = 0;
  if (!file.read(reinterpret_cast<char*>(&length), sizeof length)) return false;
  bytes->resize(length);
  return static_cast<bool>(file.read(bytes->data(), length));
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const auto& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

using Clock = std::chrono::steady_clock;

struct Exchange {
  grpc::ByteBuffer message;
  std::string answer;
};

// One call under way.
struct Call {
  Call(grpc::GenericStub* stub, grpc::CompletionQueue* queue, const Exchange* exchange) : exchange(exchange) {
    began = Clock::now();
    reader = stub->PrepareUnaryCall(&context, kPredict, exchange->message, queue);
    reader->StartCall();
    reader->Finish(&answer, &status, this);
  }

  const Exchange* exchange;
  Clock::time_point began;
  grpc::ClientContext context;
  grpc::Status status;
  grpc::ByteBuffer answer;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc > 6) {
    std::cerr << "usage: client ADDRESS REQUESTS SECONDS [CONCURRENCY [CODE]]\n";
    return 2;
  }
  const int concurrency = argc > 4 ? std::stoi(argv[4]) : 1, code = argc > 5 ? std::stoi(argv[5]) : 0;
  std::vector<Exchange> exchanges;
  std::ifstream file(argv[2], std::ios::binary);
  std::string message, answer;
  while (ReadRecord(file, &message) && ReadRecord(file, &answer)) {
    grpc::Slice slice(message);
    exchanges.push_back({grpc::ByteBuffer(&slice, 1), answer});
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection for each channel
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (int i = 0; i < std::min(concurrency, 8); ++i) {
    stubs.push_back(std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments)));
  }
  grpc::CompletionQueue queue;

  const auto end = Clock::now() + std::chrono::duration<double>(std::stod(argv[3]));
  std::vector<std::int64_t> times;
  std::size_t begun = 0;
  // Every request at least once, however short the time.
  const auto begin = [&] {
    if (begun >= exchanges.size() && Clock::now() >= end) return;
    new Call(stubs[begun % stubs.size()].get(), &queue, &exchanges[begun % exchanges.size()]);
    ++begun;
  };
  for (int i = 0; i < concurrency; ++i) begin();
  void* tag = nullptr;
  bool ok = false;
  while (times.size() < begun && queue.Next(&tag, &ok)) {
    const std::unique_ptr<Call> call(static_cast<Call*>(tag));
    times.push_back(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - call->began).count());
    const auto& status = call->status;
    if (status.error_code() != code) {
      std::cerr << "a call: status " << status.error_code() << ": " << status.error_message() << std::endl;
      std::_Exit(1);  // with calls under way
    }
    if (status.ok() && BytesOf(call->answer) != call->exchange->answer) {
      std::cerr << "a call: another answer than the server's" << std::endl;
      std::_Exit(1);
    }
    begin();
  }
  for (const auto each : times) std::cout << each << "\n";
  return 0;
}
