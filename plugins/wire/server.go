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

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// chunk is how many bytes of a file or log are in one message, batch how many
// entries of a folder.
const (
	chunk = 256 << 10
	batch = 1000
)

// Register serves ws to a plugin on r. It checks every request of the plugin;
// ws gets valid names only.
func Register(r grpc.ServiceRegistrar, ws plugins.Workspace) {
	RegisterWorkspaceServer(r, &server{ws: ws})
}

type server struct {
	UnimplementedWorkspaceServer
	ws plugins.Workspace
}

// Put copies the stream into a file of the workspace.
func (s *server) Put(stream grpc.ClientStreamingServer[PutRequest, PutResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return Encode(err)
	}
	header := first.GetHeader()
	if header == nil || header.GetMode() > 0o7777 {
		return Encode(invalid("putting a file: want a header with a name and a mode"))
	}
	name, err := workers.CleanName(string(header.GetName()))
	if err != nil {
		return Encode(fmt.Errorf("putting a file: %w", err))
	}
	r := &received{stream: stream, left: plugins.MaxPut, name: name}
	d, err := s.ws.Put(stream.Context(), name, goMode(header.GetMode()), r)
	if r.err != nil && !errors.Is(r.err, io.EOF) {
		err = r.err // why the workspace got an incomplete file
	}
	if err != nil {
		return Encode(err)
	}
	return stream.SendAndClose(&PutResponse{Digest: d[:]})
}

// received reads the data of a Put. A stream that breaks off is never taken
// for the end of the file.
type received struct {
	stream grpc.ClientStreamingServer[PutRequest, PutResponse]
	name   string
	rest   []byte
	left   int
	err    error
}

func (r *received) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	for len(r.rest) == 0 {
		m, err := r.stream.Recv()
		if err != nil {
			r.err = err
			return 0, err
		}
		if m.GetHeader() != nil {
			r.err = invalid("putting %s: a second header", r.name)
			return 0, r.err
		}
		r.rest = m.GetData()
		r.left -= len(r.rest)
		if r.left < 0 {
			r.err = invalid("putting %s: a plugin may put at most %d bytes", r.name, plugins.MaxPut)
			return 0, r.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Get streams a file of the workspace.
func (s *server) Get(m *GetRequest, stream grpc.ServerStreamingServer[GetResponse]) error {
	name, err := workers.CleanName(string(m.GetName()))
	if err != nil {
		return Encode(fmt.Errorf("getting a file: %w", err))
	}
	left := plugins.MaxGet
	w := sender(func(p []byte) error {
		if left -= len(p); left < 0 {
			return invalid("getting %s: a plugin may get at most %d bytes", name, plugins.MaxGet)
		}
		return stream.Send(&GetResponse{Part: &GetResponse_Data{Data: p}})
	})
	d, err := s.ws.Get(stream.Context(), name, w)
	if err != nil {
		return Encode(err)
	}
	return stream.Send(&GetResponse{Part: &GetResponse_Digest{Digest: d[:]}})
}

// List streams the entries of a folder.
func (s *server) List(m *ListRequest, stream grpc.ServerStreamingServer[ListResponse]) error {
	dir, err := workers.CleanName(string(m.GetDir()))
	if err != nil {
		return Encode(fmt.Errorf("listing a folder: %w", err))
	}
	entries, err := s.ws.List(stream.Context(), dir)
	if err != nil {
		return Encode(err)
	}
	for len(entries) > 0 {
		n := min(batch, len(entries))
		answer := &ListResponse{}
		for _, e := range entries[:n] {
			answer.Entries = append(answer.Entries, fromEntry(e))
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// Run streams the log of a step, if it is wanted, and then the status.
func (s *server) Run(m *RunRequest, stream grpc.ServerStreamingServer[RunResponse]) error {
	step, err := toStep(m.GetStep())
	if err != nil {
		return Encode(err)
	}
	log := io.Discard
	if m.GetLog() {
		log = sender(func(p []byte) error {
			return stream.Send(&RunResponse{Part: &RunResponse_Log{Log: p}})
		})
	}
	st, err := s.ws.Run(stream.Context(), step, log)
	if err != nil {
		return Encode(err)
	}
	return stream.Send(&RunResponse{Part: &RunResponse_Status{Status: fromStatus(st)}})
}

// sender writes in chunks that fit into a message. Send marshals a message
// before it returns, so p is not kept.
type sender func(p []byte) error

func (send sender) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(chunk, len(p))
		if err := send(p[:n]); err != nil {
			return written, err
		}
		written += n
		p = p[n:]
	}
	return written, nil
}

var _ plugins.Workspace = (*proxy)(nil)

// NewWorkspace returns the workspace that the farm serves at the other end of
// conn.
func NewWorkspace(conn grpc.ClientConnInterface) plugins.Workspace {
	return &proxy{client: NewWorkspaceClient(conn)}
}

type proxy struct{ client WorkspaceClient }

// List returns the entries of a folder.
func (p *proxy) List(ctx context.Context, dir string) ([]workers.Entry, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.client.List(ctx, &ListRequest{Dir: []byte(dir)})
	if err != nil {
		return nil, decodeCall(ctx, "listing", dir, err)
	}
	var entries []workers.Entry
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, decodeCall(ctx, "listing", dir, err)
		}
		for _, e := range m.GetEntries() {
			entries = append(entries, toEntry(e))
		}
	}
}

// Run starts, joins or recalls a step.
func (p *proxy) Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.client.Run(ctx, &RunRequest{Step: fromStep(s), Log: log != nil})
	if err != nil {
		return workers.Status{}, decodeCall(ctx, "running step", s.Name, err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return workers.Status{}, fmt.Errorf("running step %s: the farm gave no status", s.Name)
		}
		if err != nil {
			return workers.Status{}, decodeCall(ctx, "running step", s.Name, err)
		}
		if st := m.GetStatus(); st != nil {
			return toStatus(st)
		}
		if log == nil {
			continue
		}
		if _, err := log.Write(m.GetLog()); err != nil {
			return workers.Status{}, fmt.Errorf("copying the log of step %s: %w", s.Name, err)
		}
	}
}

// modeBits keeps the bits that chmod can set.
func modeBits(mode fs.FileMode) uint32 { return unixMode(mode) & 0o7777 }
