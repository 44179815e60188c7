// A C++ client that makes three calls with libgrpc++ and prints what it got.
//
// usage: client ADDRESS GOOD BAD
//
// GOOD and BAD are files with serialised PredictRequests; the third call is Watch of the health service, of which
// the first message is read. One line per call: code, text, message, grpc-status-details-bin; the last three in hex.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace {

const std::string kPredict = "/tensorflow.serving.PredictionService/Predict";
const std::string kWatch = "/grpc.health.v1.Health/Watch";
const std::string kDetails = "grpc-status-details-bin";

std::string Hex(const std::string& bytes) {
  const char* digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char each : bytes) {
    hex += digits[each >> 4];
    hex += digits[each & 15];
  }
  return hex;
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return bytes;
  for (const auto& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

void Tell(const grpc::ClientContext& context, const grpc::Status& status, const grpc::ByteBuffer& message) {
  std::string details;
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto found = trailing.find(kDetails);
  if (found != trailing.end()) details.assign(found->second.data(), found->second.size());
  std::cout << status.error_code() << " " << Hex(status.error_message()) << " " << Hex(BytesOf(message)) << " "
            << Hex(details) << "\n";
}

void Await(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
}

void Predict(grpc::GenericStub& stub, grpc::CompletionQueue& queue, const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::Status status;
  grpc::ByteBuffer answer;
  const auto call = stub.PrepareUnaryCall(&context, kPredict, BufferOf(bytes), &queue);
  call->StartCall();
  call->Finish(&answer, &status, nullptr);
  Await(queue);
  Tell(context, status, answer);
}

void Watch(grpc::GenericStub& stub, grpc::CompletionQueue& queue) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::Status status;
  grpc::ByteBuffer answer;
  const auto call = stub.PrepareCall(&context, kWatch, &queue);
  call->StartCall(nullptr);
  Await(queue);
  call->WriteLast(BufferOf(""), grpc::WriteOptions(), nullptr);
  Await(queue);
  call->Read(&answer, nullptr);
  Await(queue);
  context.TryCancel();
  call->Finish(&status, nullptr);
  Await(queue);
  Tell(context, status, answer);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: client ADDRESS GOOD BAD\n";
    return 2;
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  grpc::GenericStub stub(grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments));
  grpc::CompletionQueue queue;
  Predict(stub, queue, argv[2]);
  Predict(stub, queue, argv[3]);
  Watch(stub, queue);
  return 0;
}
