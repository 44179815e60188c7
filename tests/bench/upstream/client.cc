// A C++ client that makes one call of Predict at a time and times each.
//
// usage: client ADDRESS REQUESTS SECONDS
//
// REQUESTS is a file of records (message, answer), each as a 4-byte little-endian length and its bytes; it goes
// round through them. Prints the microseconds of every call, one per line. Exit code 1, with the reason on
// stderr, as soon as one call is not answered OK with exactly the answer.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
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

grpc::Status Ask(grpc::GenericStub& stub, grpc::CompletionQueue& queue, const grpc::ByteBuffer& message,
                 grpc::ByteBuffer* answer) {
  grpc::ClientContext context;
  grpc::Status status;
  void* tag = nullptr;
  bool ok = false;
  const auto call = stub.PrepareUnaryCall(&context, kPredict, message, &queue);
  call->StartCall();
  call->Finish(answer, &status, call.get());
  queue.Next(&tag, &ok);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: client ADDRESS REQUESTS SECONDS\n";
    return 2;
  }
  std::vector<std::pair<grpc::ByteBuffer, std::string>> requests;
  std::ifstream file(argv[2], std::ios::binary);
  std::string message, answer;
  while (ReadRecord(file, &message) && ReadRecord(file, &answer)) {
    grpc::Slice slice(message);
    requests.emplace_back(grpc::ByteBuffer(&slice, 1), answer);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  grpc::GenericStub stub(grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments));
  grpc::CompletionQueue queue;

  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(std::stod(argv[3]));
  std::vector<std::int64_t> times;
  // Every request at least once, however short the time.
  for (std::size_t i = 0; i < requests.size() || Clock::now() < end; ++i) {
    const auto& [bytes, expected] = requests[i % requests.size()];
    grpc::ByteBuffer got;
    const auto began = Clock::now();
    const auto status = Ask(stub, queue, bytes, &got);
    times.push_back(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began).count());
    if (!status.ok()) {
      std::cerr << "call " << i << ": status " << status.error_code() << ": " << status.error_message() << "\n";
      return 1;
    }
    if (BytesOf(got) != expected) {
      std::cerr << "call " << i << ": another answer than the server's\n";
      return 1;
    }
  }
  for (const auto each : times) std::cout << each << "\n";
  return 0;
}
