// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/wire"
)

// Process is one running plugin. It serves one attempt: its Builder and its
// Tester may be called one after the other, and Close ends it.
type Process struct {
	name        string
	description plugins.Description
	grace       time.Duration
	dir         string
	client      *plugin.Client
	child       *child
	broker      *plugin.GRPCBroker
	conn        *grpc.ClientConn
	stderr      *tail
	// turn is held during a call: multiplexed streams must open one after
	// another.
	turn   chan struct{}
	once   sync.Once
	closed error
}

// Start starts the named plugin and waits until it has described itself. ctx
// bounds the start only.
func (c *Catalog) Start(ctx context.Context, name string) (*Process, error) {
	k, err := c.find(name)
	if err != nil {
		return nil, err
	}
	dir, err := makeFolder(c.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("starting plugin %s: %w", name, err)
	}
	p := &Process{name: name, dir: dir, grace: c.opts.Grace, stderr: &tail{}, turn: make(chan struct{}, 1)}
	limited, cancel := context.WithTimeoutCause(ctx, c.opts.StartTimeout,
		fmt.Errorf("no answer within %s", c.opts.StartTimeout))
	defer cancel()
	if err := p.start(limited, k.Entry, c.opts.StartTimeout); err != nil {
		closeErr := p.Close()
		return nil, errors.Join(fmt.Errorf("starting plugin %s: %w%s", name, err, p.stderr.quote()), closeErr)
	}
	return p, nil
}

// start returns when the plugin has answered, failed or taken too long.
func (p *Process) start(ctx context.Context, e Entry, timeout time.Duration) error {
	if err := p.prepare(e, timeout); err != nil {
		return err
	}
	ready := make(chan error, 1)
	go p.connectOnThread(ctx, ready)
	var err error
	select {
	case err = <-ready:
	case <-ctx.Done():
		// Killing the process ends whatever go-plugin is waiting for.
		err = errors.Join(context.Cause(ctx), p.child.Kill(ctx))
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		err = context.Cause(ctx)
	}
	return err
}

func (p *Process) prepare(e Entry, timeout time.Duration) error {
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  plugin.HandshakeConfig{MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue},
		VersionedPlugins: map[int]plugin.PluginSet{wire.Version: {wire.Service: &adapter{}}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			return p.child, p.handshake(cmd.Env)
		},
		AutoMTLS:            true,
		SkipHostEnv:         true,
		GRPCBrokerMultiplex: true,
		UnixSocketConfig:    &plugin.UnixSocketConfig{TempDir: p.dir},
		StartTimeout:        2 * timeout, // our own timeout covers more and comes first
		Logger:              hclog.NewNullLogger(),
		Stderr:              p.stderr,
		SyncStderr:          p.stderr,
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessage), grpc.MaxCallSendMsgSize(wire.MaxMessage)),
			grpc.WithMaxHeaderListSize(wire.MaxHeaders),
		},
	})
	var err error
	p.child, err = newChild(e, p.dir)
	return err
}

// handshake passes go-plugin's variables on to the child.
func (p *Process) handshake(env []string) error {
	p.child.cmd.Env = append(p.child.cmd.Env, env...)
	return nil
}

// connectOnThread starts the plugin on a thread that lives until the plugin has ended:
// the parent-death signal is sent when that thread ends, not the process.
func (p *Process) connectOnThread(ctx context.Context, ready chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.connect(ctx)
	ready <- err
	if err == nil {
		<-p.child.exited
	}
}

// connect shakes hands and reads the plugin's description.
func (p *Process) connect(ctx context.Context) error {
	protocol, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(wire.Service)
	if err != nil {
		return err
	}
	link, ok := raw.(*link)
	if !ok {
		return fmt.Errorf("go-plugin dispensed a %T", raw)
	}
	p.broker, p.conn = link.broker, link.conn
	m, err := wire.NewPluginClient(p.conn).Describe(ctx, &wire.DescribeRequest{})
	if err != nil {
		return fmt.Errorf("describing itself: %w", wire.Decode(err))
	}
	p.description = wire.ToDescription(m)
	if err := p.description.Validate(); err != nil {
		return err
	}
	if p.description.Name != p.name {
		return fmt.Errorf("it calls itself %q; name it so in the configuration", p.description.Name)
	}
	return nil
}

// Description returns the description that the plugin gave when it started.
func (p *Process) Description() plugins.Description { return p.description }

// Close ends the plugin, its process group and its folder. It waits for the
// catalog's grace and then kills the plugin. It returns an error if something
// still remains. Closing twice is no error.
func (p *Process) Close() error {
	p.once.Do(func() { p.closed = p.end() })
	return p.closed
}

func (p *Process) end() error {
	defer func() { _ = os.RemoveAll(p.dir) }() // otherwise the next farm removes it
	if p.child == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.client.Kill()
	}()
	kill := time.AfterFunc(p.grace/2, func() { _ = p.child.Kill(context.Background()) })
	defer kill.Stop()
	select {
	case <-done:
	case <-time.After(p.grace):
		return fmt.Errorf("ending plugin %s: process %s is still there after %s", p.name, p.child.ID(), p.grace)
	}
	return nil
}

// link is what go-plugin returns when the handshake is done.
type link struct {
	broker *plugin.GRPCBroker
	conn   *grpc.ClientConn
}

// adapter makes go-plugin return a link.
type adapter struct{ plugin.NetRPCUnsupportedPlugin }

var _ plugin.GRPCPlugin = (*adapter)(nil)

// GRPCServer is for the other side only.
func (*adapter) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the farm is no plugin")
}

// GRPCClient returns the link.
func (*adapter) GRPCClient(_ context.Context, b *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &link{broker: b, conn: conn}, nil
}
