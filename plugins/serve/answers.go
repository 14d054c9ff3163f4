// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/wire"
)

// adapter makes go-plugin serve a plugin.
type adapter struct {
	plugin.NetRPCUnsupportedPlugin
	plugin plugins.Plugin
}

var _ plugin.GRPCPlugin = (*adapter)(nil)

// GRPCServer registers the services that the plugin has.
func (a *adapter) GRPCServer(b *plugin.GRPCBroker, s *grpc.Server) error {
	answers := &answers{plugin: a.plugin, broker: b}
	wire.RegisterPluginServer(s, answers)
	wire.RegisterCheckerServer(s, answers)
	if a.plugin.Builder != nil {
		wire.RegisterBuilderServer(s, answers)
	}
	if a.plugin.Tester != nil {
		wire.RegisterTesterServer(s, answers)
	}
	return nil
}

// GRPCClient is for the other side only.
func (a *adapter) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, status.Error(codes.Unimplemented, "a plugin does not call plugins")
}

// answers implements the services of the protocol with a plugin.
type answers struct {
	wire.UnimplementedPluginServer
	wire.UnimplementedBuilderServer
	wire.UnimplementedTesterServer
	wire.UnimplementedCheckerServer
	plugin plugins.Plugin
	broker *plugin.GRPCBroker
}

// Describe returns the description of the plugin.
func (a *answers) Describe(context.Context, *wire.DescribeRequest) (*wire.DescribeResponse, error) {
	return wire.FromDescription(a.plugin.Description), nil
}

// Build calls the builder.
func (a *answers) Build(ctx context.Context, m *wire.BuildRequest) (*wire.BuildResponse, error) {
	ws, end, err := a.workspace(ctx, m.GetWorkspace())
	if err != nil {
		return nil, wire.Encode(err)
	}
	defer end()
	outputs, err := a.plugin.Builder.Build(ctx, ws, wire.ToConfig(m.GetConfig()))
	if err != nil {
		return nil, wire.Encode(err)
	}
	return wire.FromOutputs(outputs), nil
}

// Test calls the tester and sends its report in batches.
func (a *answers) Test(m *wire.TestRequest, stream grpc.ServerStreamingServer[wire.TestResponse]) error {
	ws, end, err := a.workspace(stream.Context(), m.GetWorkspace())
	if err != nil {
		return wire.Encode(err)
	}
	defer end()
	report, err := a.plugin.Tester.Test(stream.Context(), ws, wire.ToConfig(m.GetConfig()))
	if err != nil {
		return wire.Encode(err)
	}
	answer := &wire.TestResponse{Format: report.Format}
	for cases := report.Cases; ; answer = new(wire.TestResponse) {
		n := fits(cases)
		answer.Cases = wire.FromCases(cases[:n])
		if err := stream.Send(answer); err != nil {
			return err
		}
		if cases = cases[n:]; len(cases) == 0 {
			return nil
		}
	}
}

// fits returns how many of the cases go into one message; at least one, if
// there are any.
func fits(cases []plugins.Case) int {
	size := 0
	for i, c := range cases {
		size += 3*(len(c.Name)+len(c.Detail)) + 64 // an invalid byte becomes three
		if size > wire.MaxMessage/2 && i > 0 {
			return i
		}
	}
	return len(cases)
}

// Check asks the builder or tester about a block, if it is a plugins.Checker.
func (a *answers) Check(_ context.Context, m *wire.CheckRequest) (*wire.CheckResponse, error) {
	var role any
	switch m.GetRole() {
	case wire.Role_ROLE_BUILDER:
		role = a.plugin.Builder
	case wire.Role_ROLE_TESTER:
		role = a.plugin.Tester
	}
	answer := &wire.CheckResponse{}
	if checker, ok := role.(plugins.Checker); ok {
		answer.Complaints = wire.FromComplaints(checker.Check(m.GetBlock()))
	}
	return answer, nil
}

// dialTimeout bounds how long connecting to the workspace may take.
const dialTimeout = 30 * time.Second

// workspace dials the workspace that the farm serves under the identifier, and
// waits until it is connected. A multiplexed stream that one call leaves half
// open would be mistaken for the next call's stream.
func (a *answers) workspace(ctx context.Context, id uint32) (plugins.Workspace, func(), error) {
	conn, err := a.broker.DialWithOptions(id,
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessage)),
		grpc.WithMaxHeaderListSize(wire.MaxHeaders))
	if err != nil {
		return nil, nil, fmt.Errorf("reaching the workspace: %w", err)
	}
	end := func() { _ = conn.Close() } // the farm closes its end as well
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			end()
			return nil, nil, fmt.Errorf("reaching the workspace, %s: %w", state, ctx.Err())
		}
	}
	return wire.NewWorkspace(conn), end, nil
}
