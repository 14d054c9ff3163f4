// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package wire is the protocol between the farm and a plugin: plugin.proto,
// the code generated from it, and the conversions between its messages and the
// values of plugins and workers. They keep the kind of an error, and bytes as
// bytes.
//
// It starts no process and knows no transport but gRPC: plugins/host is the
// farm's side, plugins/serve the author's.
package wire

// The generated code is made anew, in this folder, with protoc 3.21.12 or
// later and the two generators of the module's versions:
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative plugin.proto
