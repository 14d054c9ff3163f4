// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package serve is the main function of a plugin: it shakes hands with the
// farm that started the program, answers the farm's calls, and ends when the
// farm has gone.
//
// It is the author's side of plugins/wire; the farm's side is plugins/host.
// The given plugins.Plugin does the work.
package serve

import (
	"context"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/wire"
)

// Serve answers the farm's calls until the farm ends the plugin, and then
// returns; the program should end then. An error means that p is not valid. If
// the farm did not start the program, Serve says so on standard error and
// exits with status 1.
//
// The program must not write to its standard output before it calls Serve.
func Serve(p plugins.Plugin) error {
	if err := p.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go watchParent(ctx, os.Getppid(), os.Getppid, time.Second, func() { os.Exit(orphaned) })
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue},
		VersionedPlugins: map[int]plugin.PluginSet{
			wire.Version: {wire.Service: &adapter{plugin: p}},
		},
		GRPCServer: newServer,
		Logger:     hclog.NewNullLogger(),
	})
	return nil
}

// orphaned is the exit status of a plugin whose farm has gone.
const orphaned = 3

func newServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts,
		grpc.MaxRecvMsgSize(wire.MaxMessage),
		grpc.MaxHeaderListSize(wire.MaxHeaders),
	)...)
}

// watchParent calls gone once the parent process is not the one that started
// the plugin. On systems without a parent-death signal the plugin of a killed
// farm would otherwise go on running.
func watchParent(ctx context.Context, parent int, now func() int, every time.Duration, gone func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if now() != parent {
				gone()
				return
			}
		}
	}
}
