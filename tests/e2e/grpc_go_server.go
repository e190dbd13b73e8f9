// A gRPC server on grpc-go with the calls of the interoperability cases, in plain bytes instead of protobuf.
// Its argument is the address to listen on; it prints the one that it got.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type raw struct{}

func (raw) Marshal(v interface{}) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v interface{}) error { *v.(*[]byte) = data; return nil }
func (raw) String() string                             { return "raw" }

// answer returns what a message asks for: "size:N" is N zero bytes, "status:CODE:TEXT" an error, anything else itself.
func answer(message []byte) ([]byte, error) {
	parts := strings.SplitN(string(message), ":", 3)
	switch {
	case parts[0] == "size" && len(parts) > 1:
		size, err := strconv.Atoi(parts[1])
		return make([]byte, size), err
	case parts[0] == "status" && len(parts) == 3:
		code, _ := strconv.Atoi(parts[1])
		return nil, status.Error(codes.Code(code), parts[2])
	}
	return message, nil
}

func echoMetadata(stream grpc.ServerStream) {
	asked, _ := metadata.FromIncomingContext(stream.Context())
	if initial := asked.Get("x-initial"); len(initial) > 0 {
		stream.SetHeader(metadata.Pairs("x-initial", initial[0]))
	}
	if trailing := asked.Get("x-trailing-bin"); len(trailing) > 0 {
		stream.SetTrailer(metadata.Pairs("x-trailing-bin", trailing[0]))
	}
}

func receive(stream grpc.ServerStream) ([]byte, error) {
	var message []byte
	err := stream.RecvMsg(&message)
	return message, err
}

func serve(_ interface{}, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	echoMetadata(stream)
	switch method {
	case "/devtls.Test/Unary", "/devtls.Test/Count", "/devtls.Test/Sleep":
		message, err := receive(stream)
		if err != nil {
			return err
		}
		if method == "/devtls.Test/Sleep" {
			select {
			case <-stream.Context().Done():
			case <-time.After(time.Minute):
			}
			return stream.Context().Err()
		}
		for _, one := range strings.Split(string(message), ",") {
			said, err := answer([]byte(one))
			if err != nil {
				return err
			}
			if err := stream.SendMsg(&said); err != nil {
				return err
			}
		}
		return nil
	case "/devtls.Test/Total":
		total := 0
		for {
			message, err := receive(stream)
			if err == io.EOF {
				said := []byte(strconv.Itoa(total))
				return stream.SendMsg(&said)
			}
			if err != nil {
				return err
			}
			total += len(message)
		}
	case "/devtls.Test/Talk":
		for {
			message, err := receive(stream)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			said, err := answer(message)
			if err != nil {
				return err
			}
			if err := stream.SendMsg(&said); err != nil {
				return err
			}
		}
	}
	return status.Errorf(codes.Unimplemented, "there is no %s", method)
}

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	server := grpc.NewServer(
		grpc.CustomCodec(raw{}), grpc.UnknownServiceHandler(serve), grpc.MaxRecvMsgSize(1<<25), grpc.MaxSendMsgSize(1<<25),
	)
	if err := server.Serve(listener); err != nil {
		os.Exit(1)
	}
}
