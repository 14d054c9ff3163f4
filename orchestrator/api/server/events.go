// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
)

const eventsPage = 500

// sendEvents writes events as they happen (server-sent events, WHATWG HTML 9.2), and a
// comment when there are none.
func (s *Server) sendEvents(ctx context.Context, w *streamWriter, after int64, build string) error {
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	for {
		changed := s.Store.Changed()
		key := fmt.Sprintf("events %d %q", after, build)
		all, err := sharedAnswer(ctx, s, key, func(ctx context.Context) ([]orchestrator.Event, error) {
			return s.Store.Events(ctx, after, build, eventsPage)
		})
		if err != nil {
			return err
		}
		text := &bytes.Buffer{}
		for _, e := range all {
			data, err := json.Marshal(wireEvent(e))
			if err != nil {
				return fmt.Errorf("writing event %d: %w", e.Seq, err)
			}
			fmt.Fprintf(text, "id: %d\nevent: transition\ndata: %s\n\n", e.Seq, data)
			after = e.Seq
		}
		if text.Len() == 0 {
			select {
			case <-beat.C:
				text.WriteString(": still here\n\n")
			default:
			}
		}
		if text.Len() > 0 {
			if _, err := w.w.Write(text.Bytes()); err != nil {
				return err
			}
			if err := w.flush(); err != nil {
				return err
			}
		}
		if len(all) < eventsPage && !s.wait(ctx, changed) {
			return nil
		}
	}
}
