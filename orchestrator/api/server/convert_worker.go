// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

func wireWorker(w store.Worker) wire.Worker {
	out := wire.Worker{
		Name: w.Name, Address: w.Address, Labels: w.Labels, Slots: w.Slots, Draining: w.Draining, Quarantine: wireQuarantine(w.Quarantine),
		Probed: w.Probed, Registered: w.Registered, Held: each(w.Held, wireLease),
	}
	if w.Facts != nil {
		out.Facts = wireFacts(*w.Facts)
	}
	return out
}

func wireQuarantine(q *workers.Quarantine) *wire.Quarantine {
	if q == nil {
		return nil
	}
	return &wire.Quarantine{Code: string(q.Code), Since: q.Since, Detail: q.Detail, Who: q.Who}
}

func wireLease(l store.Lease) wire.Lease {
	return wire.Lease{Worker: l.Worker, Slot: l.Slot, Build: l.Build, Stage: l.Stage, Fence: l.Fence, Since: l.Since}
}

func wireFacts(f workers.Facts) *wire.Facts {
	out := &wire.Facts{
		Uname: f.Uname, System: f.System, Host: f.Host, Release: f.Release, Version: f.Version, Machine: f.Machine, User: f.User,
		Shell: f.Shell, CodePage: f.CodePage, Archiver: string(f.Archiver), Locales: f.Locales, Cores: f.Cores, FreeBytes: f.FreeBytes,
		Path: f.Path, ClockOffset: f.ClockOffset, Server: f.Server,
	}
	if f.Tools != nil {
		out.Tools = make(map[string]wire.Tool, len(f.Tools))
		for name, t := range f.Tools {
			out.Tools[name] = wire.Tool{Path: t.Path, Banner: t.Banner, Version: t.Version}
		}
	}
	return out
}
