// libgrpc++: `client ADDRESS`; script.py says what it reads and prints.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::string Hex(const std::string& bytes) {
  const char* digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char each : bytes) {
    hex += digits[each >> 4];
    hex += digits[each & 15];
  }
  return hex;
}

std::string Octets(const std::string& hex) {
  std::string bytes;
  for (size_t at = 0; at + 1 < hex.size(); at += 2) bytes += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
  return bytes;
}

std::vector<std::string> Split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
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

std::string Pairs(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  std::string text;
  for (const auto& [key, value] : metadata) {
    if (!text.empty()) text += ",";
    text += "[\"" + std::string(key.data(), key.size()) + "\",\"" + Hex(std::string(value.data(), value.size())) + "\"]";
  }
  return text;
}

bool Next(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  return queue.Next(&tag, &ok) && ok;
}

void Play(grpc::GenericStub& stub, const std::string& line) {
  const auto words = Split(line, ' ');
  const std::string &kind = words[1], &cancel = words[5];
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(std::stoi(words[3])));
  if (words[4] == "gzip") context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  if (words[6] != "-") {
    for (const auto& pair : Split(words[6], ',')) {
      const auto at = pair.find('=');
      context.AddMetadata(pair.substr(0, at), Octets(pair.substr(at + 1)));
    }
  }
  std::vector<std::string> sent, received;
  if (words[7] != "-") {
    for (const auto& file : Split(words[7], ',')) {
      std::ifstream stream(file, std::ios::binary);
      sent.emplace_back((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    }
  }
  grpc::Status status;
  grpc::ByteBuffer answer;
  grpc::CompletionQueue queue;
  std::string told;
  if (kind == "unary") {
    const auto call = stub.PrepareUnaryCall(&context, words[2], BufferOf(sent[0]), &queue);
    call->StartCall();
    call->Finish(&answer, &status, nullptr);
    if (cancel == "told") {
      std::getline(std::cin, told);
      context.TryCancel();
    }
    Next(queue);
    if (status.ok()) received.push_back(BytesOf(answer));
  } else {
    const auto call = stub.PrepareCall(&context, words[2], &queue);
    call->StartCall(nullptr);
    if (cancel == "begun") context.TryCancel();
    Next(queue);
    bool open = true;
    for (const auto& message : sent) {
      call->Write(BufferOf(message), nullptr);
      open = Next(queue) && open;
      if (!open || kind != "pingpong") continue;
      call->Read(&answer, nullptr);
      if (Next(queue)) received.push_back(BytesOf(answer));
    }
    call->WritesDone(nullptr);
    Next(queue);
    if (cancel == "told") {
      std::getline(std::cin, told);
      context.TryCancel();
    }
    for (call->Read(&answer, nullptr); Next(queue); call->Read(&answer, nullptr)) {
      received.push_back(BytesOf(answer));
      if (cancel == "first") context.TryCancel();
    }
    call->Finish(&status, nullptr);
    Next(queue);
  }
  std::string messages;
  for (const auto& message : received) messages += (messages.empty() ? "\"" : ",\"") + Hex(message) + "\"";
  std::cout << "{\"case\":\"" << words[0] << "\",\"code\":" << status.error_code() << ",\"text\":\""
            << Hex(status.error_message()) << "\",\"messages\":[" << messages << "],\"details\":\""
            << Hex(status.error_details()) << "\",\"initial\":["
            << Pairs(context.GetServerInitialMetadata()) << "],\"trailing\":["
            << Pairs(context.GetServerTrailingMetadata()) << "]}" << std::endl;
}

}  // namespace

int main(int, char** argv) {
  std::cout << "{\"client\": \"grpc++ " << grpc::Version() << "\"}" << std::endl;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  grpc::GenericStub stub(grpc::CreateCustomChannel(argv[1], grpc::InsecureChannelCredentials(), arguments));
  for (std::string line; std::getline(std::cin, line);) Play(stub, line);
  return 0;
}
