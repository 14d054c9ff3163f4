// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// longEnough is how long a stream must have lasted to count as a success even without
// data: proxies cut idle streams.
const longEnough = 5 * time.Second

// sink distinguishes errors of the client's writer from those of the network.
type sink struct {
	w      io.Writer
	failed error
}

// Write notes the error of the writer.
func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.failed = err
	}
	return n, err
}

// copyWhole writes an answer that does not change, in as many parts as it takes, and
// checks it against the digest in its ETag.
func copyWhole[I, O any](ctx context.Context, c *Client, call wire.Call[I, O], in *I, w io.Writer) error {
	out := &sink{w: w}
	sum := digest.NewWriter(out)
	tag := ""
	for try := 1; ; try++ {
		before := sum.Len()
		have, err := copyPart(ctx, c, call, in, sum, tag)
		if tag == "" {
			tag = have
		}
		switch {
		case err == nil:
			return checkDigest(sum.Digest(), tag)
		case out.failed != nil:
			return fmt.Errorf("writing what the farm sent: %w", out.failed)
		}
		if sum.Len() > before {
			try = 1
		}
		if try >= tries || !temporary(ctx, err) {
			return err
		}
		if err := pause(ctx, try, err); err != nil {
			return err
		}
	}
}

// copyPart continues after the bytes that sum has. If the file has been replaced since,
// the farm refuses (If-Match).
func copyPart[I, O any](ctx context.Context, c *Client, call wire.Call[I, O], in *I, sum *digest.Writer, tag string) (string, error) {
	at := sum.Len()
	resp, err := open(ctx, c, call, in, func(r *http.Request) {
		r.Header.Set("Accept-Encoding", "identity")
		if tag != "" {
			r.Header.Set("If-Match", tag)
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-", at))
		}
	})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if at > 0 && resp.StatusCode != http.StatusPartialContent {
		if _, err := io.CopyN(io.Discard, resp.Body, at); err != nil {
			return "", fmt.Errorf("reading what the farm sent: %w", err)
		}
	}
	if _, err := io.Copy(sum, resp.Body); err != nil {
		return resp.Header.Get("ETag"), fmt.Errorf("reading what the farm sent: %w", err)
	}
	return resp.Header.Get("ETag"), nil
}

// checkDigest compares the digest of what arrived with the one that the farm named.
func checkDigest(have digest.Digest, tag string) error {
	want, err := digest.Parse(strings.Trim(tag, `"`))
	if err != nil {
		return fmt.Errorf("the farm did not say which digest the file has: %w", err)
	}
	if have != want {
		return fmt.Errorf("the file arrived as %s and should be %s; ask again, and if it happens again something on the way changes it", have, want)
	}
	return nil
}

// FollowLog writes the log of a step from an offset until the step has ended, and
// returns the offset it reached. It resumes a stream that was cut off.
func (c *Client) FollowLog(ctx context.Context, a AttemptID, step string, offset int64, w io.Writer) (int64, error) {
	out := &sink{w: w}
	for try := 1; ; try++ {
		begun := time.Now()
		n, err := c.logPart(ctx, wire.LogInput{AttemptInput: a.input(), Step: step, Offset: offset, Follow: true}, out)
		offset += n
		if out.failed != nil {
			return offset, fmt.Errorf("writing the log: %w", out.failed)
		}
		over := false
		if err == nil {
			over, err = c.logOver(ctx, a, step, offset)
		}
		if err == nil && over {
			return offset, nil
		}
		if n > 0 || time.Since(begun) > longEnough {
			try = 1
		}
		if try >= tries || !temporary(ctx, err) {
			return offset, gaveUp(ctx, err)
		}
		if err := pause(ctx, try, err); err != nil {
			return offset, err
		}
	}
}

func gaveUp(ctx context.Context, err error) error {
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = errors.New("the farm ends the stream again and again; try later")
	}
	return err
}

// Log writes the current log of a step from an offset, and returns the offset it
// reached.
func (c *Client) Log(ctx context.Context, a AttemptID, step string, offset int64, w io.Writer) (int64, error) {
	n, err := c.logPart(ctx, wire.LogInput{AttemptInput: a.input(), Step: step, Offset: offset}, w)
	return offset + n, err
}

func (c *Client) logPart(ctx context.Context, in wire.LogInput, w io.Writer) (int64, error) {
	resp, err := open(ctx, c, c.calls.Log, &in, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return n, fmt.Errorf("reading the log: %w", err)
	}
	return n, nil
}

// logOver reports whether a stream ended because the step did: a farm that shuts down
// ends its streams, too.
func (c *Client) logOver(ctx context.Context, a AttemptID, step string, offset int64) (bool, error) {
	steps, err := c.Steps(ctx, a)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(steps, func(s wire.Step) bool { return s.Name == step })
	if i >= 0 && steps[i].Status != nil {
		return offset >= steps[i].Size, nil
	}
	attempts, err := c.Attempts(ctx, a.Build)
	if err != nil {
		return false, err
	}
	i = slices.IndexFunc(attempts, func(x wire.Attempt) bool { return x.Stage == a.Stage && x.Fence == a.Fence })
	return i < 0 || !attempts[i].Ended.IsZero(), nil
}

// ErrEnough is returned by the function passed to [Client.FollowEvents] to stop.
var ErrEnough = errors.New("enough")

// FollowEvents passes each event after a number to handle as it happens, of one build
// or, for "", of all, until handle returns an error or ctx ends. It resumes a stream
// that was cut off, without loss and without repetition. ErrEnough becomes nil.
func (c *Client) FollowEvents(ctx context.Context, after int64, build string, handle func(wire.Event) error) error {
	for try := 1; ; try++ {
		before, begun := after, time.Now()
		stop, err := c.eventsPart(ctx, &after, build, handle)
		switch {
		case stop != nil && errors.Is(stop, ErrEnough):
			return nil
		case stop != nil:
			return stop
		}
		if after > before || time.Since(begun) > longEnough {
			try = 1
		}
		if try >= tries || !temporary(ctx, err) {
			return gaveUp(ctx, err)
		}
		if err := pause(ctx, try, err); err != nil {
			return err
		}
	}
}

// eventsPart reads one stream; stop is the error of handle.
func (c *Client) eventsPart(ctx context.Context, after *int64, build string, handle func(wire.Event) error) (stop, err error) {
	resp, err := open(ctx, c, c.calls.Follow, &wire.FollowInput{After: *after, Build: build}, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 4<<10), 1<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var e wire.Event
		if err := json.Unmarshal(data, &e); err != nil {
			return nil, fmt.Errorf("reading an event: %w", err)
		}
		if e.Seq <= *after {
			continue
		}
		if stop := handle(e); stop != nil {
			return stop, nil
		}
		*after = e.Seq
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	return nil, nil
}
