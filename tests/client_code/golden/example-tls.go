// go mod init example && go mod tidy && go run .
// needs ca.pem: the certificate that signed the server's (PEM)
// embed(image_bytes: string[?,2], pixels: float32[?,?,?,3], query: string[?], tokens: int64[?], tokens_1: int64[?], weights: float32[?], weights_1: int32[?]) -> scores
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/encoding/protowire"
)

// raw hands messages on as they are: they are encoded below.
type raw struct{}

func (raw) Name() string                  { return "proto" }
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func field(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

func number(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

func join(parts ...[]byte) (whole []byte) {
	for _, part := range parts {
		whole = append(whole, part...)
	}
	return whole
}

// shape is a TensorShapeProto.
func shape(sizes ...uint64) (proto []byte) {
	for _, size := range sizes {
		proto = append(proto, field(2, number(1, size))...)
	}
	return proto
}

// input is one entry of PredictRequest.inputs. TensorProto: dtype 1, tensor_shape 2, tensor_content 4
// (C order, little-endian), int_val 7, string_val 8, int64_val 10.
func input(alias string, dtype uint64, shape, payload []byte) []byte {
	return field(2, join(field(1, []byte(alias)), field(2, join(number(1, dtype), field(2, shape), payload))))
}

func integers(where protowire.Number, values ...uint64) (payload []byte) {
	for _, value := range values {
		payload = append(payload, number(where, value)...)
	}
	return payload
}

func strings(value []byte, count int) (payload []byte) {
	for ; count > 0; count-- {
		payload = append(payload, field(8, value)...)
	}
	return payload
}

// fields calls visit with every length-delimited field of a message.
func fields(message []byte, visit func(number protowire.Number, content []byte)) {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return
		}
		message = message[size:]
		size = protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			return
		}
		if kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(message)
			visit(number, content)
		}
		message = message[size:]
	}
}

func main() {
	// model_spec: name 1, version 2, signature_name 3, version_label 4
	request := field(1, join(field(1, []byte("detector")), field(3, []byte("embed")), field(4, []byte("canary"))))
	// string [?,2]: ? is yours to choose; the bytes of an image file (here a grey PNG), not base64
	request = append(request, input("image_bytes", 7, shape(1, 2), strings([]byte{137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 8, 0, 0, 0, 8, 8, 2, 0, 0, 0, 75, 109, 41, 220, 0, 0, 0, 15, 73, 68, 65, 84, 120, 218, 99, 104, 192, 1, 24, 134, 150, 4, 0, 130, 243, 96, 1, 37, 149, 179, 99, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130}, 2))...)
	// float32 [?,?,?,3]: ? is yours to choose
	request = append(request, input("pixels", 1, shape(1, 224, 224, 3), field(4, make([]byte, 602112)))...)
	// string [?]: ? is yours to choose
	request = append(request, input("query", 7, shape(1), strings([]byte("text"), 1))...)
	// int64 [?]: the values of ragged 'tokens', 2 in each row
	request = append(request, input("tokens", 9, shape(2), field(4, make([]byte, 16)))...)
	// int64 [?]: row splits of ragged 'tokens': row i is values[splits[i]:splits[i+1]]
	request = append(request, input("tokens_1", 9, shape(2), integers(10, 0, 2))...)
	// float32 [?]: the values of ragged 'weights', 2 in each row
	request = append(request, input("weights", 1, shape(2), field(4, make([]byte, 8)))...)
	// int32 [?]: row splits of ragged 'weights': row i is values[splits[i]:splits[i+1]]
	request = append(request, input("weights_1", 3, shape(2), integers(7, 0, 2))...)
	pem, err := os.ReadFile("ca.pem")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	security := &tls.Config{RootCAs: roots}

	// Without MaxCallRecvMsgSize, answers above 4 MiB are cut off.
	connection, err := grpc.NewClient("tfs.example:8500", grpc.WithTransportCredentials(credentials.NewTLS(security)),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(1<<31-1)))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	deadline, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var response []byte
	if err := connection.Invoke(deadline, "/tensorflow.serving.PredictionService/Predict", &request, &response); err != nil {
		log.Fatal(err)
	}
	fields(response, func(number protowire.Number, entry []byte) {
		if number == 1 { // outputs: alias 1, TensorProto 2
			fields(entry, func(number protowire.Number, content []byte) {
				if number == 1 {
					fmt.Printf("%s: ", content)
				} else if number == 2 {
					fmt.Printf("a TensorProto of %d bytes\n", len(content))
				}
			})
		}
	})
}
