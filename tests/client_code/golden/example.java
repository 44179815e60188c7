// Stubs: let protobuf-maven-plugin, or Gradle's, with protoc-gen-grpc-java compile
//   tensorflow_serving/apis/prediction_service.proto          of github.com/tensorflow/serving
//   tensorflow/core/framework/*.proto and what they import    of github.com/tensorflow/tensorflow
// embed(image_bytes: string[?,2], pixels: float32[?,?,?,3], query: string[?], tokens: int64[?], tokens_1: int64[?], weights: float32[?], weights_1: int32[?]) -> scores
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
    PredictRequest.Builder request = PredictRequest.newBuilder();
    request.setModelSpec(ModelSpec.newBuilder().setName("detector").setSignatureName("embed").setVersion(Int64Value.of(3L)));
    // string [?,2]: ? is yours to choose; the bytes of an image file (here a grey PNG), not base64
    request.putInputs(
        "image_bytes",
        TensorProto.newBuilder()
            .setDtype(DataType.DT_STRING)
            .setTensorShape(shape(1, 2))
            .addAllStringVal(Collections.nCopies(2, ByteString.copyFrom(Base64.getDecoder().decode("iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mNowAEYhpYEAILzYAEllbNjAAAAAElFTkSuQmCC"))))
            .build());
    // float32 [?,?,?,3]: ? is yours to choose
    request.putInputs(
        "pixels",
        TensorProto.newBuilder()
            .setDtype(DataType.DT_FLOAT)
            .setTensorShape(shape(1, 224, 224, 3))
            .setTensorContent(ByteString.copyFrom(new byte[602112]))
            .build());
    // string [?]: ? is yours to choose
    request.putInputs(
        "query",
        TensorProto.newBuilder()
            .setDtype(DataType.DT_STRING)
            .setTensorShape(shape(1))
            .addAllStringVal(Collections.nCopies(1, ByteString.copyFromUtf8("text")))
            .build());
    // int64 [?]: the values of ragged 'tokens', 2 in each row
    request.putInputs(
        "tokens",
        TensorProto.newBuilder()
            .setDtype(DataType.DT_INT64)
            .setTensorShape(shape(2))
            .setTensorContent(ByteString.copyFrom(new byte[16]))
            .build());
    // int64 [?]: row splits of ragged 'tokens': row i is values[splits[i]:splits[i+1]]
    request.putInputs(
        "tokens_1",
        TensorProto.newBuilder()
            .setDtype(DataType.DT_INT64)
            .setTensorShape(shape(2))
            .addInt64Val(0L).addInt64Val(2L)
            .build());
    // float32 [?]: the values of ragged 'weights', 2 in each row
    request.putInputs(
        "weights",
        TensorProto.newBuilder()
            .setDtype(DataType.DT_FLOAT)
            .setTensorShape(shape(2))
            .setTensorContent(ByteString.copyFrom(new byte[8]))
            .build());
    // int32 [?]: row splits of ragged 'weights': row i is values[splits[i]:splits[i+1]]
    request.putInputs(
        "weights_1",
        TensorProto.newBuilder()
            .setDtype(DataType.DT_INT32)
            .setTensorShape(shape(2))
            .addIntVal(0).addIntVal(2)
            .build());
    Metadata headers = new Metadata();
    ManagedChannel channel =
        Grpc.newChannelBuilder("tfs.example:8500", InsecureChannelCredentials.create())
            // As large as it comes. gRPC's own default is 4 MiB, which an answer easily exceeds.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            .build();
    try {
      PredictResponse response =
          PredictionServiceGrpc.newBlockingStub(channel)
              .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
              .withDeadlineAfter(10, TimeUnit.SECONDS)
              .predict(request.build());
      response.getOutputsMap().forEach(
          (alias, tensor) ->
              System.out.println(alias + " " + tensor.getDtype() + " " + tensor.getTensorShape().getDimList()));
    } catch (StatusRuntimeException error) {
      System.err.println(error.getStatus());
      System.exit(1);
    } finally {
      channel.shutdown();
    }
  }
}
