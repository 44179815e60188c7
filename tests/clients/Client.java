// grpc-java over Netty: `java Client ADDRESS`; script.py says what it reads and prints.

import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.internal.GrpcUtil;
import io.grpc.netty.NettyChannelBuilder;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;

public final class Client {
  private static final HexFormat HEX = HexFormat.of();
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  private static final MethodDescriptor.Marshaller<byte[]> SAME = new MethodDescriptor.Marshaller<>() {
    @Override public InputStream stream(byte[] message) {
      return new ByteArrayInputStream(message);
    }

    @Override public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  };

  /** What comes of one call. */
  private static final class Heard extends ClientCall.Listener<byte[]> {
    final List<String> messages = new ArrayList<>();
    Metadata initial = new Metadata();
    Metadata trailing = new Metadata();
    Status status;
    private final ClientCall<byte[], byte[]> call;
    private final boolean cancels;

    Heard(ClientCall<byte[], byte[]> call, boolean cancels) {
      this.call = call;
      this.cancels = cancels;
    }

    @Override public void onHeaders(Metadata headers) {
      initial = headers;
    }

    @Override public synchronized void onMessage(byte[] message) {
      messages.add(HEX.formatHex(message));
      if (cancels) call.cancel("after the first message", null);
      else call.request(1);
      notifyAll();
    }

    @Override public synchronized void onClose(Status status, Metadata trailers) {
      this.status = status;
      trailing = trailers == null ? new Metadata() : trailers;
      notifyAll();
    }

    synchronized void await(int count) throws InterruptedException {
      while (status == null && messages.size() < count) wait();
    }
  }

  private static String pairs(Metadata metadata) {
    List<String> found = new ArrayList<>();
    for (String key : metadata.keys()) {
      if (key.endsWith("-bin")) {
        for (byte[] value : metadata.getAll(Metadata.Key.of(key, Metadata.BINARY_BYTE_MARSHALLER))) {
          found.add("[\"" + key + "\",\"" + HEX.formatHex(value) + "\"]");
        }
      } else {
        for (String value : metadata.getAll(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER))) {
          found.add("[\"" + key + "\",\"" + HEX.formatHex(value.getBytes(StandardCharsets.UTF_8)) + "\"]");
        }
      }
    }
    return "[" + String.join(",", found) + "]";
  }

  private static Metadata metadataOf(String word) {
    Metadata metadata = new Metadata();
    if (word.equals("-")) return metadata;
    for (String pair : word.split(",")) {
      String[] parts = pair.split("=");
      byte[] value = HEX.parseHex(parts[1]);
      if (parts[0].endsWith("-bin")) metadata.put(Metadata.Key.of(parts[0], Metadata.BINARY_BYTE_MARSHALLER), value);
      else metadata.put(Metadata.Key.of(parts[0], Metadata.ASCII_STRING_MARSHALLER), new String(value, StandardCharsets.UTF_8));
    }
    return metadata;
  }

  private static void play(ManagedChannel channel, BufferedReader input, String line) throws Exception {
    String[] words = line.split(" ");
    boolean unary = words[1].equals("unary");
    boolean gzip = words[4].equals("gzip");
    MethodDescriptor<byte[], byte[]> method = MethodDescriptor.<byte[], byte[]>newBuilder(SAME, SAME)
        .setType(unary ? MethodDescriptor.MethodType.UNARY : MethodDescriptor.MethodType.BIDI_STREAMING)
        .setFullMethodName(words[2].substring(1))
        .build();
    CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(Long.parseLong(words[3]), TimeUnit.MILLISECONDS);
    ClientCall<byte[], byte[]> call = channel.newCall(method, gzip ? options.withCompression("gzip") : options);
    Heard heard = new Heard(call, words[5].equals("first"));
    call.start(heard, metadataOf(words[6]));
    call.setMessageCompression(gzip);
    call.request(1);
    if (words[5].equals("begun")) {
      call.cancel("at once", null);
    } else {
      int count = 0;
      for (String file : words[7].equals("-") ? new String[0] : words[7].split(",")) {
        call.sendMessage(Files.readAllBytes(Path.of(file)));
        if (words[1].equals("pingpong")) heard.await(++count);
      }
      call.halfClose();
    }
    if (words[5].equals("told")) {
      input.readLine();
      call.cancel("told to", null);
    }
    heard.await(Integer.MAX_VALUE);
    byte[] details = heard.trailing.get(DETAILS);
    String text = heard.status.getDescription() == null ? "" : heard.status.getDescription();
    System.out.println("{\"case\":\"" + words[0] + "\",\"code\":" + heard.status.getCode().value() + ",\"text\":\""
        + HEX.formatHex(text.getBytes(StandardCharsets.UTF_8)) + "\",\"messages\":["
        + (heard.messages.isEmpty() ? "" : "\"" + String.join("\",\"", heard.messages) + "\"") + "],\"details\":\""
        + HEX.formatHex(details == null ? new byte[0] : details) + "\",\"initial\":" + pairs(heard.initial)
        + ",\"trailing\":" + pairs(heard.trailing) + "}");
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("{\"client\": \"grpc-java " + GrpcUtil.getGrpcBuildVersion().getImplementationVersion() + "\"}");
    ManagedChannel channel = NettyChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) play(channel, input, line);
    channel.shutdownNow();
  }
}
