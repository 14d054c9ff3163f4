// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"google.golang.org/grpc"

	"github.com/zfarm/zfarm/attest/digest"
)

// Put sends a file to the farm.
func (p *proxy) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	// The end of this context shows the farm that a file is incomplete.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.client.Put(ctx)
	if err != nil {
		return digest.Digest{}, decodeCall(ctx, "putting", name, err)
	}
	header := &PutHeader{Name: []byte(name), Mode: modeBits(mode)}
	// Send fails with io.EOF; CloseAndRecv returns the actual error.
	sum := digest.NewReader(r)
	if stream.Send(&PutRequest{Part: &PutRequest_Header{Header: header}}) == nil {
		if err := sendAll(stream, sum); err != nil {
			return digest.Digest{}, fmt.Errorf("reading what to put into %s: %w", name, err)
		}
	}
	m, err := stream.CloseAndRecv()
	if err != nil {
		return digest.Digest{}, decodeCall(ctx, "putting", name, err)
	}
	return agreed("putting", name, sum.Digest(), m.GetDigest())
}

// sendAll copies r to the stream; its errors are those of r. It stops early if
// the farm accepts no more.
func sendAll(stream grpc.ClientStreamingClient[PutRequest, PutResponse], r io.Reader) error {
	buf := make([]byte, chunk)
	for {
		n, err := r.Read(buf)
		if n > 0 && stream.Send(&PutRequest{Part: &PutRequest_Data{Data: buf[:n]}}) != nil {
			return nil //nolint:nilerr // CloseAndRecv has the true error
		}
		if err == io.EOF { // a plain io.EOF is the end of r, a wrapped one is an error
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Get copies a file from the farm to w.
func (p *proxy) Get(ctx context.Context, name string, w io.Writer) (digest.Digest, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.client.Get(ctx, &GetRequest{Name: []byte(name)})
	if err != nil {
		return digest.Digest{}, decodeCall(ctx, "getting", name, err)
	}
	sum := digest.NewWriter(w)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return digest.Digest{}, fmt.Errorf("getting %s: the farm gave no digest", name)
		}
		if err != nil {
			return digest.Digest{}, decodeCall(ctx, "getting", name, err)
		}
		if d := m.GetDigest(); d != nil {
			return agreed("getting", name, sum.Digest(), d)
		}
		if _, err := sum.Write(m.GetData()); err != nil {
			return digest.Digest{}, fmt.Errorf("writing what was got of %s: %w", name, err)
		}
	}
}

// agreed returns the digest if both sides computed the same.
func agreed(what, name string, mine digest.Digest, theirs []byte) (digest.Digest, error) {
	if string(mine[:]) != string(theirs) {
		return digest.Digest{}, fmt.Errorf("%s %s: the farm saw other bytes than the plugin", what, name)
	}
	return mine, nil
}
