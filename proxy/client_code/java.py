r"""Java with grpc-java and stubs generated from TensorFlow Serving's .proto files.

Law: see the package. Names are written as ASCII JSON, whose escapes are Java's; a backslash that came with a
name is doubled there, so that it never begins a \u that the compiler would read first.
"""

import base64
import json

from proxy.client_code.request import DEADLINE_SECONDS, ExampleRequest, Input
from proxy.client_code.server import TOKEN_VARIABLE, Server

_HEAD = """\
// Stubs: let protobuf-maven-plugin, or Gradle's, with protoc-gen-grpc-java compile
//   tensorflow_serving/apis/prediction_service.proto          of github.com/tensorflow/serving
//   tensorflow/core/framework/*.proto and what they import    of github.com/tensorflow/tensorflow"""

_CLASS = """\
import com.google.protobuf.ByteString;
import com.google.protobuf.Int64Value;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.util.Base64;
import java.util.Collections;
import java.util.concurrent.TimeUnit;
import org.tensorflow.framework.DataType;
import org.tensorflow.framework.TensorProto;
import org.tensorflow.framework.TensorShapeProto;
import tensorflow.serving.Model.ModelSpec;
import tensorflow.serving.Predict.PredictRequest;
import tensorflow.serving.Predict.PredictResponse;
import tensorflow.serving.PredictionServiceGrpc;

public final class Example {
  static TensorShapeProto shape(long... sizes) {
    TensorShapeProto.Builder shape = TensorShapeProto.newBuilder();
    for (long size : sizes) {
      shape.addDim(TensorShapeProto.Dim.newBuilder().setSize(size));
    }
    return shape.build();
  }

  public static void main(String[] arguments) throws Exception {
    PredictRequest.Builder request = PredictRequest.newBuilder();"""

_CALL = f"""\
            // As large as it comes. gRPC's own default is 4 MiB, which an answer easily exceeds.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            .build();
    try {{
      PredictResponse response =
          PredictionServiceGrpc.newBlockingStub(channel)
              .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
              .withDeadlineAfter({DEADLINE_SECONDS}, TimeUnit.SECONDS)
              .predict(request.build());
      response.getOutputsMap().forEach(
          (alias, tensor) ->
              System.out.println(alias + " " + tensor.getDtype() + " " + tensor.getTensorShape().getDimList()));
    }} catch (StatusRuntimeException error) {{
      System.err.println(error.getStatus());
      System.exit(1);
    }} finally {{
      channel.shutdown();
    }}
  }}
}}
"""


def render(request: ExampleRequest) -> str:
    """A class: sends the request, prints dtype and shape of every output."""
    key, server = request.key, request.server
    spec = [f".setName({json.dumps(key.model)})"]
    if request.signature:
        spec.append(f".setSignatureName({json.dumps(request.signature)})")
    if key.version is not None:
        spec.append(f".setVersion(Int64Value.of({key.version}L))")
    elif key.label is not None:
        spec.append(f".setVersionLabel({json.dumps(key.label)})")
    lines = [
        _HEAD,
        *(f"// needs {each}" for each in server.needs()),
        f"// {request.accepts}",
        _CLASS,
        f"    request.setModelSpec(ModelSpec.newBuilder(){''.join(spec)});",
    ]
    for each in request.inputs:
        lines += [
            f"    // {each.declared}{each.note and ': ' + each.note}",
            "    request.putInputs(",
            f"        {json.dumps(each.alias)},",
            "        TensorProto.newBuilder()",
            f"            .setDtype(DataType.{each.proto_dtype})",
            f"            .setTensorShape(shape({', '.join(map(str, each.dims))}))",
            f"            {_payload(each)}",
            "            .build());",
        ]
    lines.append("    Metadata headers = new Metadata();")
    if server.token:
        lines += [
            "    headers.put(",
            '        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),',
            f'        "Bearer " + System.getenv("{TOKEN_VARIABLE}"));',
        ]
    lines += [
        "    ManagedChannel channel =",
        f"        Grpc.newChannelBuilder({json.dumps(server.target)}, {_credentials(server)})",
    ]
    if server.tls and server.name:
        lines += [
            "            // The server's certificate carries this name, which is not the host that is called.",
            f"            .overrideAuthority({json.dumps(server.name)})",
        ]
    return "\n".join([*lines, _CALL])


def _credentials(server: Server) -> str:
    if not server.tls:
        return "InsecureChannelCredentials.create()"
    chain = "TlsChannelCredentials.newBuilder()"
    if server.ca:
        chain += f".trustManager(new File({json.dumps(server.ca)}))"
    if server.certificate and server.key:
        own = f"new File({json.dumps(server.certificate)}), new File({json.dumps(server.key)})"
        chain += f".keyManager({own})"
    return f"{chain}.build()"


def _payload(each: Input) -> str:
    if each.numbers:
        add, suffix = {"int32": ("addIntVal", ""), "int64": ("addInt64Val", "L")}[each.dtype.name]
        return "".join(f".{add}({number}{suffix})" for number in each.numbers)
    if each.element is None:
        return f".setTensorContent(ByteString.copyFrom(new byte[{each.content_bytes}]))"
    if each.text is not None:
        element = f"ByteString.copyFromUtf8({json.dumps(each.text)})"
    else:
        encoded = base64.b64encode(each.element).decode()
        element = f'ByteString.copyFrom(Base64.getDecoder().decode("{encoded}"))'
    return f".addAllStringVal(Collections.nCopies({each.count}, {element}))"
