"""Go with google.golang.org/grpc; the few protobuf fields of Predict are written with protowire.

Law: see the package. TensorFlow Serving publishes no Go module with its stubs, so the program needs none.
"""

from collections.abc import Iterator

from proxy.client_code.request import DEADLINE_SECONDS, INTEGERS, PREDICT, ExampleRequest, Input
from proxy.client_code.server import TOKEN_VARIABLE, Server

_HEAD = """\
package main

import (
%s
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
"""

_TAIL = """\

	// Without MaxCallRecvMsgSize, answers above 4 MiB are cut off.
	connection, err := grpc.NewClient(%s, grpc.WithTransportCredentials(%s),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(1<<31-1)))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	deadline, cancel := context.WithTimeout(context.Background(), %d*time.Second)
	defer cancel()%s
	var response []byte
	if err := connection.Invoke(deadline, %s, &request, &response); err != nil {
		log.Fatal(err)
	}
	fields(response, func(number protowire.Number, entry []byte) {
		if number == 1 { // outputs: alias 1, TensorProto 2
			fields(entry, func(number protowire.Number, content []byte) {
				if number == 1 {
					fmt.Printf("%%s: ", content)
				} else if number == 2 {
					fmt.Printf("a TensorProto of %%d bytes\\n", len(content))
				}
			})
		}
	})
}
"""

_TOKEN = f"""
	deadline = metadata.AppendToOutgoingContext(deadline, "authorization", "Bearer "+os.Getenv("{TOKEN_VARIABLE}"))"""


def render(request: ExampleRequest) -> str:
    """A program: sends the request, prints the name and size of every output."""
    key, server = request.key, request.server
    spec = [f"field(1, []byte({_text(key.model)}))"]
    if key.version is not None:
        spec.append(f"field(2, number(1, {key.version}))")
    if request.signature:
        spec.append(f"field(3, []byte({_text(request.signature)}))")
    if key.version is None and key.label is not None:
        spec.append(f"field(4, []byte({_text(key.label)}))")
    lines = [
        "// go mod init example && go mod tidy && go run .",
        *(f"// needs {each}" for each in server.needs()),
        f"// {request.accepts}",
        _HEAD % "\n".join(each and f'\t"{each}"' for each in _imports(server)),
        "func main() {",
        "\t// model_spec: name 1, version 2, signature_name 3, version_label 4",
        f"\trequest := field(1, join({', '.join(spec)}))",
    ]
    for each in request.inputs:
        lines.append(f"\t// {each.declared}{each.note and ': ' + each.note}")
        lines.append(f"\trequest = append(request, {_input(each)}...)")
    lines += _configuration(server)
    credentials = "credentials.NewTLS(security)" if server.tls else "insecure.NewCredentials()"
    token = _TOKEN if server.token else ""
    tail = _TAIL % (_text(server.target), credentials, DEADLINE_SECONDS, token, _text(PREDICT))
    return "\n".join(lines) + "\n" + tail


def _imports(server: Server) -> Iterator[str]:
    """In gofmt's order; "" stands between the standard library and the others."""
    yield "context"
    if server.tls:
        yield "crypto/tls"
    if server.ca:
        yield "crypto/x509"
    yield from ("fmt", "log")
    if server.ca or server.token:
        yield "os"
    yield from ("time", "", "google.golang.org/grpc")
    yield f"google.golang.org/grpc/credentials{'' if server.tls else '/insecure'}"
    if server.token:
        yield "google.golang.org/grpc/metadata"
    yield "google.golang.org/protobuf/encoding/protowire"


def _configuration(server: Server) -> Iterator[str]:
    """The lines that define `security`."""
    if not server.tls:
        return
    failed = ("\tif err != nil {", "\t\tlog.Fatal(err)", "\t}")
    fields = []
    if server.ca:
        yield from (f"\tpem, err := os.ReadFile({_text(server.ca)})", *failed)
        yield from ("\troots := x509.NewCertPool()", "\troots.AppendCertsFromPEM(pem)")
        fields.append("RootCAs: roots")
    if server.certificate and server.key:
        yield f"\town, err := tls.LoadX509KeyPair({_text(server.certificate)}, {_text(server.key)})"
        yield from failed
        fields.append("Certificates: []tls.Certificate{own}")
    if server.name:
        yield "\t// The server's certificate carries ServerName, which is not the host that is called."
        fields.append(f"ServerName: {_text(server.name)}")
    yield f"\tsecurity := &tls.Config{{{', '.join(fields)}}}"


def _input(each: Input) -> str:
    sizes = ", ".join(str(size) for size in each.dims)
    if each.numbers:
        numbers = ", ".join(map(str, each.numbers))
        payload = f"integers({INTEGERS[each.dtype.name][1]}, {numbers})"
    elif each.element is None:
        payload = f"field(4, make([]byte, {each.content_bytes}))"
    else:
        element = ", ".join(str(byte) for byte in each.element)
        one = f"[]byte({_text(each.text)})" if each.text is not None else f"[]byte{{{element}}}"
        payload = f"strings({one}, {each.count})"
    return f"input({_text(each.alias)}, {each.dtype.number}, shape({sizes}), {payload})"


def _text(text: str) -> str:
    r"""A Go string literal in ASCII; Go has no surrogate pairs, so \U stands for what needs them."""
    return '"' + "".join(_character(each) for each in text) + '"'


def _character(character: str) -> str:
    if character in {'"', "\\"}:
        return "\\" + character
    if " " <= character <= "~":
        return character
    return f"\\U{ord(character):08x}"
