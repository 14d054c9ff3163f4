// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

// encodedStep is a step in the form sent to the machine.
type encodedStep struct {
	name string
	// contents is the digest of everything the step may depend on. Lease and maximum
	// log size are the worker's and may change between two calls.
	contents    digest.Digest
	script, env []byte
}

// encodeStep checks a step and writes its files.
func (w *workspace) encodeStep(s workers.Step) (encodedStep, error) {
	dir, err := w.checkedName(s.Dir)
	if err != nil {
		return encodedStep{}, err
	}
	if err := checkStep(s); err != nil {
		return encodedStep{}, err
	}
	b := encodedStep{name: s.Name, contents: contentsOf(s, dir)}
	text := s.Script
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if b.script, err = w.shell.encode(text); err != nil {
		return b, fmt.Errorf("writing its script in %s: %w", w.shell.codePage, err)
	}
	if b.env, err = w.shell.encode(envText(s, dir, w.options)); err != nil {
		return b, fmt.Errorf("writing its environment in %s: %w", w.shell.codePage, err)
	}
	return b, nil
}

func checkStep(s workers.Step) error {
	if !workers.ValidID(s.Name) {
		return fmt.Errorf("name: %w", fs.ErrInvalid)
	}
	if s.Limit < 0 {
		return fmt.Errorf("limit %s: %w", s.Limit, fs.ErrInvalid)
	}
	if strings.ContainsRune(s.Script, 0) || strings.ContainsRune(s.Dir, 0) {
		return fmt.Errorf("script with a NUL: %w", fs.ErrInvalid)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		if !workers.ValidEnvName(name) || strings.ContainsRune(s.Env[name], 0) {
			return fmt.Errorf("environment variable %q: %w", name, fs.ErrInvalid)
		}
	}
	return nil
}

// contentsOf digests the fields in one unambiguous form.
func contentsOf(s workers.Step, dir string) digest.Digest {
	var b strings.Builder
	fmt.Fprintf(&b, "zfarm step 1\n%q\n%q\n%04o\n%d\n", s.Script, dir, umask(s), seconds(s.Limit))
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		fmt.Fprintf(&b, "%s=%q\n", name, s.Env[name])
	}
	return digest.Of([]byte(b.String()))
}

// envText returns the file "env": shell text that sets the variables of runner.sh, and
// the environment as "$@".
func envText(s workers.Step, dir string, o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "limit=%d\nlease=%d\nlogmax=%d\n", seconds(s.Limit), seconds(o.Lease), (o.LogMax+511)/512)
	fmt.Fprintf(&b, "mask=%03o\ndir=%s\nset --", umask(s), workers.Quote(dir))
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		value := strings.ReplaceAll(workers.Quote(s.Env[name]), "${ZFARM_ROOT}", `'"$ZFARM_ROOT"'`)
		fmt.Fprintf(&b, " \\\n%s=%s", name, value)
	}
	b.WriteString("\n")
	return b.String()
}

func umask(s workers.Step) fs.FileMode {
	if s.Umask.Perm() == 0 {
		return 0o022
	}
	return s.Umask.Perm()
}

func seconds(d time.Duration) int64 { return int64(roundUp(d) / time.Second) }

// readStatus parses the file "status": reason, code, seconds.
func readStatus(text string) (workers.Status, error) {
	var reason string
	var code, took int64
	if n, err := fmt.Sscanf(text, "%16s %d %d\n", &reason, &code, &took); n != 3 || err != nil ||
		code < 0 || code > 255 || took < 0 || took > 1<<31 {
		return workers.Status{}, fmt.Errorf("status %q was not written by the runner: %w", codepage.Cut(text, 50), workers.ErrVanished)
	}
	s := workers.Status{State: workers.State(reason), Took: time.Duration(took) * time.Second}
	switch s.State {
	case workers.Exited:
		s.Code = int(code)
		return s, nil
	case workers.Limit, workers.Lease, workers.Stopped, workers.LogLimit:
		return s, nil
	case "lost":
		return workers.Status{}, fmt.Errorf("its runner was killed on the worker: %w", workers.ErrVanished)
	case "nogroup":
		return workers.Status{}, fmt.Errorf("%w: the shell gives background commands no process group of their own; set the worker's shell to bash or mksh", workers.ErrUnfit)
	}
	return workers.Status{}, fmt.Errorf("status %q was not written by the runner: %w", codepage.Cut(text, 50), workers.ErrVanished)
}

func stepFolder(root, name string) string { return path.Join(root, runnerFolder, "steps", name) }
