// grpc-go: `client ADDRESS`; script.py says what it reads and prints.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/golang/protobuf/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type raw struct{}

func (raw) Marshal(message interface{}) ([]byte, error)      { return *message.(*[]byte), nil }
func (raw) Unmarshal(data []byte, message interface{}) error { *message.(*[]byte) = data; return nil }
func (raw) Name() string                                     { return "proto" }
func (raw) String() string                                   { return "proto" }

type answer struct {
	Case     string      `json:"case"`
	Code     int         `json:"code"`
	Text     string      `json:"text"`
	Messages []string    `json:"messages"`
	Details  string      `json:"details"`
	Initial  [][2]string `json:"initial"`
	Trailing [][2]string `json:"trailing"`
}

func pairs(from metadata.MD) [][2]string {
	found := [][2]string{}
	for key, values := range from {
		for _, value := range values {
			found = append(found, [2]string{key, hex.EncodeToString([]byte(value))})
		}
	}
	return found
}

func play(channel *grpc.ClientConn, input *bufio.Reader, line string) answer {
	words := strings.Fields(line)
	kind, path, cancelled := words[1], words[2], words[5]
	milliseconds, _ := strconv.Atoi(words[3])
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(milliseconds)*time.Millisecond)
	defer cancel()
	var header, trailer metadata.MD
	options := []grpc.CallOption{grpc.ForceCodec(raw{}), grpc.Header(&header), grpc.Trailer(&trailer)}
	if words[4] == "gzip" {
		options = append(options, grpc.UseCompressor(gzip.Name))
	}
	if words[6] != "-" {
		for _, pair := range strings.Split(words[6], ",") {
			part := strings.SplitN(pair, "=", 2)
			value, _ := hex.DecodeString(part[1])
			ctx = metadata.AppendToOutgoingContext(ctx, part[0], string(value))
		}
	}
	sent := [][]byte{}
	if words[7] != "-" {
		for _, file := range strings.Split(words[7], ",") {
			message, _ := os.ReadFile(file)
			sent = append(sent, message)
		}
	}
	told := answer{Case: words[0], Messages: []string{}}
	over := make(chan error)
	go func() {
		if kind == "unary" {
			var message []byte
			err := channel.Invoke(ctx, path, &sent[0], &message, options...)
			if err == nil {
				told.Messages = append(told.Messages, hex.EncodeToString(message))
			}
			over <- err
			return
		}
		stream, err := channel.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, path, options...)
		if err != nil {
			over <- err
			return
		}
		if cancelled == "begun" {
			cancel()
		}
		for i := range sent {
			if stream.SendMsg(&sent[i]) != nil {
				break
			}
			if kind == "pingpong" {
				var message []byte
				if stream.RecvMsg(&message) != nil {
					break
				}
				told.Messages = append(told.Messages, hex.EncodeToString(message))
			}
		}
		stream.CloseSend()
		for {
			var message []byte
			if err = stream.RecvMsg(&message); err != nil {
				break
			}
			told.Messages = append(told.Messages, hex.EncodeToString(message))
			if cancelled == "first" {
				cancel()
			}
		}
		if err == io.EOF {
			err = nil
		}
		over <- err
	}()
	if cancelled == "told" {
		input.ReadString('\n')
		cancel()
	}
	ended := status.Convert(<-over)
	told.Code, told.Text = int(ended.Code()), hex.EncodeToString([]byte(ended.Message()))
	if len(ended.Proto().GetDetails()) > 0 {
		details, _ := proto.Marshal(ended.Proto())
		told.Details = hex.EncodeToString(details)
	}
	told.Initial, told.Trailing = pairs(header), pairs(trailer)
	return told
}

func main() {
	fmt.Printf("{\"client\": \"grpc-go %s\"}\n", grpc.Version)
	channel, err := grpc.Dial(os.Args[1], grpc.WithInsecure())
	if err != nil {
		panic(err)
	}
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadString('\n')
		if err != nil {
			return
		}
		text, _ := json.Marshal(play(channel, input, line))
		fmt.Println(string(text))
	}
}
