// An open-loop client: calls begin at times that were drawn beforehand, whether or not earlier ones are answered.
//
// usage: open_loop ADDRESS BODY ANSWER RATE WARM_UP SECONDS CONNECTIONS
//
// BODY and ANSWER are files of one gRPC-framed message each. Arrivals are a Poisson process of RATE per second with
// the same seed each time, dealt to the connections in turn. Prints, for each call that was due after WARM_UP
// seconds, the microseconds from when it was DUE to its last byte, and those until it was sent. Exit code 1, with the
// reason on stderr, as soon as one is not answered with exactly ANSWER, or not within ten seconds of the end.
//
// HTTP/2 with prior knowledge and no more of it than this needs: answers are told by their bytes, so that header
// blocks need not be read; a gRPC error has no body and is told as another answer.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration_cast;
using std::chrono::microseconds;

enum Type { kData, kHeaders, kPriority, kReset, kSettings, kPush, kPing, kGoAway, kWindowUpdate };
constexpr int kEndStream = 1, kAck = 1, kEndHeaders = 4, kPadded = 8;
constexpr std::size_t kOutputAtATime = 256 << 10;

[[noreturn]] void Fail(const std::string& reason) {
  std::cerr << reason << "\n";
  std::exit(1);
}

std::string Number(std::uint32_t value) {
  const std::uint32_t order = htonl(value);
  return std::string(reinterpret_cast<const char*>(&order), sizeof order);
}

std::uint32_t NumberAt(const char* bytes) {
  std::uint32_t order;
  std::memcpy(&order, bytes, sizeof order);
  return ntohl(order);
}

std::string Head(std::size_t size, int type, int flags, std::uint32_t stream) {
  std::string head = Number(static_cast<std::uint32_t>(size) << 8 | type).substr(0, 4);
  return head + static_cast<char>(flags) + Number(stream);
}

std::string Setting(int name, std::uint32_t value) { return std::string{'\0', static_cast<char>(name)} + Number(value); }

std::string Literal(const std::string& text) { return static_cast<char>(text.size()) + text; }

struct Call {
  Clock::time_point due, sent, done;
  std::size_t matched = 0;  // bytes of the answer so far
};

struct Exchange {
  std::string authority, body, answer;
};

struct Pending {
  std::uint32_t stream;
  std::size_t call, sent;
  std::int64_t window;
};

class Connection {
 public:
  Connection(const sockaddr_in& address, const Exchange* exchange, std::vector<Call>* calls)
      : exchange_(exchange), calls_(calls), socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) Fail("cannot connect");
    const int yes = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    // No table of the server's headers, for they are not read; windows that nothing here can fill.
    const std::string settings = Setting(1, 0) + Setting(2, 0) + Setting(4, 1 << 24);
    output_ = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Head(settings.size(), kSettings, 0, 0) + settings +
              Head(4, kWindowUpdate, 0, 0) + Number(1 << 30);
  }

  int socket() const { return socket_; }
  bool ready() const { return settings_seen_; }
  bool wants_to_write() const { return output_at_ < output_.size(); }
  std::size_t answered() const { return answered_; }

  void Begin(std::size_t call) {
    waiting_.push_back(call);
    Write();
  }

  // Whatever windows, the server's number of streams and the socket allow.
  void Write() {
    do {
      Compose();
      const auto count = send(socket_, output_.data() + output_at_, output_.size() - output_at_, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count < 0 && errno != EAGAIN) Fail("the connection was lost");
      if (count <= 0) return;
      output_at_ += static_cast<std::size_t>(count);
      if (!wants_to_write() || output_at_ >= kOutputAtATime) {
        output_.erase(0, output_at_);
        output_at_ = 0;
      }
    } while (!wants_to_write() && Composable());
  }

  void Read() {
    static char buffer[256 << 10];
    for (;;) {
      const auto count = recv(socket_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (count < 0 && errno == EAGAIN) break;
      if (count <= 0) Fail("the connection was closed");
      input_.append(buffer, static_cast<std::size_t>(count));
      if (static_cast<std::size_t>(count) < sizeof buffer) break;
    }
    std::size_t at = 0;
    while (input_.size() - at >= 9) {
      const std::size_t size = NumberAt(input_.data() + at) >> 8;
      if (input_.size() - at - 9 < size) break;
      const char* head = input_.data() + at;
      Frame(head[3], head[4], NumberAt(head + 5) & 0x7FFFFFFF, head + 9, size);
      at += 9 + size;
    }
    input_.erase(0, at);
    Write();
  }

 private:
  bool Composable() const {
    return (!waiting_.empty() && open_ < most_streams_) || (!pending_.empty() && window_ > 0);
  }

  void Compose() {
    if (!settings_seen_) return;
    while (output_.size() - output_at_ < kOutputAtATime && !waiting_.empty() && open_ < most_streams_) {
      Open(waiting_.front());
      waiting_.pop_front();
    }
    // First come, first served; a stream whose own window is used up lets the others pass.
    for (auto each = pending_.begin(); each != pending_.end() && window_ > 0;) {
      if (!Send(*each)) {
        ++each;
      } else {
        each = pending_.erase(each);
      }
      if (output_.size() - output_at_ >= kOutputAtATime) return;
    }
  }

  void Open(std::size_t call) {
    const bool first = by_stream_.empty();
    // Names and values are in the table from the first request on, as with any client that keeps its connection.
    const std::string block =
        first ? std::string("\x83\x86") + '\x44' + Literal("/tensorflow.serving.PredictionService/Predict") + '\x41' +
                    Literal(exchange_->authority) + '\x5F' + Literal("application/grpc") + '\x40' + Literal("te") +
                    Literal("trailers")
              : "\x83\x86\xC1\xC0\xBF\xBE";
    const auto stream = static_cast<std::uint32_t>(2 * by_stream_.size() + 1);
    by_stream_.push_back(call);
    ++open_;
    output_ += Head(block.size(), kHeaders, kEndHeaders, stream) + block;
    (*calls_)[call].sent = Clock::now();
    Pending pending{stream, call, 0, initial_window_};
    if (!Send(pending)) pending_.push_back(pending);
  }

  // True when all of it has been composed.
  bool Send(Pending& pending) {
    const auto& body = exchange_->body;
    while (pending.sent < body.size()) {
      const std::int64_t room = std::min({window_, pending.window, most_in_frame_});
      if (room <= 0 || output_.size() - output_at_ >= kOutputAtATime) return false;
      const std::size_t size = std::min(body.size() - pending.sent, static_cast<std::size_t>(room));
      const bool last = pending.sent + size == body.size();
      output_ += Head(size, kData, last ? kEndStream : 0, pending.stream);
      output_.append(body, pending.sent, size);
      pending.sent += size;
      pending.window -= static_cast<std::int64_t>(size);
      window_ -= static_cast<std::int64_t>(size);
    }
    return true;
  }

  void Frame(int type, int flags, std::uint32_t stream, const char* bytes, std::size_t size) {
    switch (type) {
      case kData: {
        Call& call = Of(stream);
        const std::size_t padding = flags & kPadded ? 1 + static_cast<unsigned char>(bytes[0]) : 0;
        const char* data = bytes + (flags & kPadded ? 1 : 0);
        const std::size_t length = size - padding;
        if (exchange_->answer.compare(call.matched, length, data, length) != 0) Fail("another answer than the server's");
        call.matched += length;
        if (flags & kEndStream) Finish(call);
        return;
      }
      case kHeaders:
        if (flags & kEndStream) Finish(Of(stream));
        return;
      case kReset:
        if (Of(stream).done == Clock::time_point()) Fail("a call was reset");
        return;
      case kSettings:
        if (!(flags & kAck)) Settings(bytes, size);
        return;
      case kPing:
        if (!(flags & kAck)) output_ += Head(size, kPing, kAck, 0) + std::string(bytes, size);
        return;
      case kGoAway:
        Fail("the connection was told to go");
      case kWindowUpdate:
        if (stream == 0) window_ += NumberAt(bytes);
        for (auto& each : pending_) {
          if (each.stream == stream) each.window += NumberAt(bytes);
        }
        return;
      default:
        return;
    }
  }

  void Settings(const char* bytes, std::size_t size) {
    for (std::size_t at = 0; at + 6 <= size; at += 6) {
      const int name = static_cast<unsigned char>(bytes[at]) << 8 | static_cast<unsigned char>(bytes[at + 1]);
      const std::int64_t value = NumberAt(bytes + at + 2);
      if (name == 1 && value < 4096) Fail("the server keeps a smaller table of headers than this client needs");
      if (name == 3) most_streams_ = static_cast<std::size_t>(value);
      if (name == 5) most_in_frame_ = value;
      if (name == 4) {
        for (auto& each : pending_) each.window += value - initial_window_;
        initial_window_ = value;
      }
    }
    settings_seen_ = true;
    output_ += Head(0, kSettings, kAck, 0);
  }

  Call& Of(std::uint32_t stream) {
    const std::size_t number = (stream - 1) / 2;
    if (stream % 2 == 0 || number >= by_stream_.size()) Fail("a frame of no call");
    return (*calls_)[by_stream_[number]];
  }

  void Finish(Call& call) {
    if (call.matched != exchange_->answer.size()) Fail("a call was answered without a message");
    call.done = Clock::now();
    --open_;
    ++answered_;
  }

  const Exchange* exchange_;
  std::vector<Call>* calls_;
  int socket_;
  std::string output_, input_;
  std::size_t output_at_ = 0, open_ = 0, answered_ = 0, most_streams_ = SIZE_MAX;
  std::int64_t window_ = 65535, initial_window_ = 65535, most_in_frame_ = 16384;
  bool settings_seen_ = false;
  std::deque<std::size_t> waiting_;
  std::deque<Pending> pending_;
  std::vector<std::size_t> by_stream_;
};

std::string Contents(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class Client {
 public:
  Client(const char* address, const Exchange& exchange, std::vector<Call>* calls, int connections)
      : calls_(calls), epoll_(epoll_create1(0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    const std::string text = address;
    const auto colon = text.rfind(':');
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1))));
    if (inet_pton(AF_INET, text.substr(0, colon).c_str(), &to.sin_addr) != 1) Fail("ADDRESS is an IPv4 one and a port");
    for (int i = 0; i < connections; ++i) {
      connections_.push_back(std::make_unique<Connection>(to, &exchange, calls));
      epoll_event event{EPOLLIN, {.u32 = static_cast<std::uint32_t>(i)}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_.back()->socket(), &event);
      connections_.back()->Write();
    }
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (!std::all_of(connections_.begin(), connections_.end(), [](const auto& each) { return each->ready(); })) {
      Serve(end);
    }
  }

  void Run() {
    std::size_t next = 0;
    const auto end = calls_->back().due + std::chrono::seconds(10);
    while (Answered() < calls_->size()) {
      for (; next < calls_->size() && (*calls_)[next].due <= Clock::now(); ++next) {
        connections_[next % connections_.size()]->Begin(next);
      }
      Serve(next < calls_->size() ? (*calls_)[next].due : end);
      if (Clock::now() > end) Fail("not all calls were answered within ten seconds of the end");
    }
  }

 private:
  std::size_t Answered() const {
    std::size_t sum = 0;
    for (const auto& each : connections_) sum += each->answered();
    return sum;
  }

  // What there is to read and to write, until `end` at most.
  void Serve(Clock::time_point end) {
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      epoll_event event{EPOLLIN | (connections_[i]->wants_to_write() ? EPOLLOUT : 0u), {.u32 = static_cast<std::uint32_t>(i)}};
      if (writing_.size() <= i) writing_.push_back(false);
      if (writing_[i] == connections_[i]->wants_to_write()) continue;
      writing_[i] = connections_[i]->wants_to_write();
      epoll_ctl(epoll_, EPOLL_CTL_MOD, connections_[i]->socket(), &event);
    }
    const auto left = std::max(Clock::duration::zero(), end - Clock::now());
    const auto nanoseconds = duration_cast<std::chrono::nanoseconds>(left).count();
    const timespec timeout{nanoseconds / 1000000000, nanoseconds % 1000000000};
    epoll_event events[64];
    const int count = epoll_pwait2(epoll_, events, 64, &timeout, nullptr);
    if (count < 0 && errno != EINTR) Fail("epoll_pwait2 failed");
    for (int i = 0; i < count; ++i) {
      auto& connection = *connections_[events[i].data.u32];
      if (events[i].events & EPOLLOUT) connection.Write();
      if (events[i].events & ~static_cast<std::uint32_t>(EPOLLOUT)) connection.Read();
    }
  }

  std::vector<Call>* calls_;
  int epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<bool> writing_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) {
    std::cerr << "usage: open_loop ADDRESS BODY ANSWER RATE WARM_UP SECONDS CONNECTIONS\n";
    return 2;
  }
  // Where it may, it goes before the server, with which it shares a core: what is due must not wait for that.
  sched_param priority{};
  priority.sched_priority = 1;
  sched_setscheduler(0, SCHED_FIFO, &priority);
  prctl(PR_SET_TIMERSLACK, 1);

  const Exchange exchange{argv[1], Contents(argv[2]), Contents(argv[3])};
  std::mt19937_64 random(1);
  std::exponential_distribution<double> gap(std::stod(argv[4]));
  const double warm_up = std::stod(argv[5]), all = warm_up + std::stod(argv[6]);
  std::vector<double> offsets;
  for (double at = gap(random); at < all; at += gap(random)) offsets.push_back(at);
  if (offsets.empty()) Fail("no call is due in that time");
  std::vector<Call> calls(offsets.size());
  Client client(argv[1], exchange, &calls, std::stoi(argv[7]));
  const auto start = Clock::now();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    calls[i].due = start + duration_cast<Clock::duration>(std::chrono::duration<double>(offsets[i]));
  }
  client.Run();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (offsets[i] < warm_up) continue;
    std::cout << duration_cast<microseconds>(calls[i].done - calls[i].due).count() << " "
              << duration_cast<microseconds>(calls[i].sent - calls[i].due).count() << "\n";
  }
  return 0;
}
