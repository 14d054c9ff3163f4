// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package serve is the main function of a plugin: it shakes hands with the
// farm that started the program, answers it, and ends when the farm has gone.
//
// It is the author's side of plugins/wire; the farm's is plugins/host. What a
// plugin does lies in the plugins.Plugin that it is given.
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

// Serve answers the farm until it has enough, and then returns; the program
// should end with it. An error says that p is not valid. A program that the
// farm did not start is told so on its standard error and ends with status 1.
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

// watchParent calls gone once the parent process is no longer the one that
// started us: systems without a parent-death signal leave the plugin of a
// killed farm running.
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
