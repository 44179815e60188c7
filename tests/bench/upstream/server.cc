// The server behind every contestant: answers prepared bytes, reads nothing of a tensor, never copies one.
//
// usage: server ADDRESS ANSWERS COUNTER DELAY_MS
//
// ANSWERS is a file of records (key, answer), each as a 4-byte little-endian length and its bytes. A key is
// the method's path, a newline and the model's name; with a '!' before it, the answer is the text of an
// INVALID_ARGUMENT. Whatever is not in it is NOT_FOUND. COUNTER is a file of
// 8 bytes that always holds, little-endian, how many calls of Predict were answered. DELAY_MS keeps every
// Predict waiting after it has been read: a model that takes its time.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

const std::string kPredict = "/tensorflow.serving.PredictionService/Predict";

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

using Answers = std::unordered_map<std::string, grpc::ByteBuffer>;
using Errors = std::unordered_map<std::string, std::string>;

bool ReadRecord(std::istream& file, std::string* bytes) {
  std::uint32_t length = 0;
  if (!file.read(reinterpret_cast<char*>(&length), sizeof length)) return false;
  bytes->resize(length);
  return static_cast<bool>(file.read(bytes->data(), length));
}

void ReadAnswers(const char* path, Answers* answers, Errors* errors) {
  std::ifstream file(path, std::ios::binary);
  std::string key, bytes;
  while (ReadRecord(file, &key) && ReadRecord(file, &bytes)) {
    if (key[0] == '!') {
      errors->emplace(key.substr(1), bytes);
    } else {
      answers->emplace(key, BufferOf(bytes));
    }
  }
}

std::uint64_t* MapCounter(const char* path) {
  const int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || ftruncate(file, sizeof(std::uint64_t)) != 0) return nullptr;
  void* memory = mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return memory == MAP_FAILED ? nullptr : static_cast<std::uint64_t*>(memory);
}

// model_spec is field 1 of every request of TF Serving, name is field 1 of it: 0A <length> 0A <length> name.
// Models of the bench have short names, so both lengths are one byte.
std::string ModelOf(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  if (!message.Dump(&slices).ok()) return "";
  char head[132];
  std::size_t size = 0;
  for (const auto& slice : slices) {
    const std::size_t part = std::min(slice.size(), sizeof head - size);
    std::memcpy(head + size, slice.begin(), part);
    size += part;
    if (size == sizeof head) break;
  }
  if (size < 4 || head[0] != 0x0A || head[2] != 0x0A) return "";
  const std::size_t length = static_cast<unsigned char>(head[3]);
  return length + 4 <= size ? std::string(head + 4, length) : "";
}

struct Server {
  grpc::AsyncGenericService service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  Answers answers;
  Errors errors;
  std::chrono::milliseconds delay{0};
  std::uint64_t* predicted = nullptr;
};

// One call: asked for → read → (delayed) → answered. Each step is one event on the queue; one thread serves it.
class Call {
 public:
  explicit Call(Server* server) : server_(server), stream_(&context_) {
    server_->service.RequestCall(&context_, &stream_, server_->queue.get(), server_->queue.get(), this);
  }

  void Step(bool ok) {
    if (step_ == kDone || !ok) {
      delete this;
      return;
    }
    switch (step_) {
      case kAsked:
        new Call(server_);
        step_ = kRead;
        stream_.Read(&message_, this);
        return;
      case kRead:
        if (server_->delay.count() > 0 && context_.method() == kPredict) {
          step_ = kDelayed;
          alarm_.Set(server_->queue.get(), std::chrono::system_clock::now() + server_->delay, this);
          return;
        }
        [[fallthrough]];
      default:
        Answer();
    }
  }

 private:
  void Answer() {
    step_ = kDone;
    const std::string key = context_.method() + "\n" + ModelOf(message_);
    const auto found = server_->answers.find(key);
    if (found == server_->answers.end()) {
      const auto error = server_->errors.find(key);
      if (error != server_->errors.end()) {
        ++*server_->predicted;
        stream_.Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, error->second), this);
        return;
      }
      stream_.Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "not a model of the bench"), this);
      return;
    }
    if (context_.method() == kPredict) ++*server_->predicted;
    stream_.WriteAndFinish(found->second, grpc::WriteOptions(), grpc::Status::OK, this);
  }

  enum { kAsked, kRead, kDelayed, kDone } step_ = kAsked;
  Server* server_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  grpc::ByteBuffer message_;
  grpc::Alarm alarm_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: server ADDRESS ANSWERS COUNTER DELAY_MS\n";
    return 2;
  }
  Server server;
  ReadAnswers(argv[2], &server.answers, &server.errors);
  server.predicted = MapCounter(argv[3]);
  server.delay = std::chrono::milliseconds(std::stoi(argv[4]));
  if (server.predicted == nullptr) {
    std::cerr << "cannot map " << argv[3] << "\n";
    return 1;
  }
  grpc::ServerBuilder builder;
  builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
  builder.RegisterAsyncGenericService(&server.service);
  builder.SetMaxReceiveMessageSize(-1);
  server.queue = builder.AddCompletionQueue();
  const auto running = builder.BuildAndStart();
  if (!running) return 1;
  for (int i = 0; i < 64; ++i) new Call(&server);
  void* tag = nullptr;
  bool ok = false;
  while (server.queue->Next(&tag, &ok)) static_cast<Call*>(tag)->Step(ok);
  return 0;
}
