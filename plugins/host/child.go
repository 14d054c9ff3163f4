// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
)

// child is the process of one plugin. The farm starts it itself, because
// go-plugin's own runner passes on the farm's standard input, ignores the
// folder for sockets and never ends the plugin's child processes.
type child struct {
	entry  Entry
	dir    string
	cmd    *exec.Cmd
	stdout *os.File
	stderr *os.File
	// exited is closed when the process has been waited for; drained is closed
	// when go-plugin has read all its output.
	exited  chan struct{}
	drained chan struct{}
	once    sync.Once

	mu      sync.Mutex
	process *os.Process // nil before the start
	ended   bool        // Kill was called; do not start it any more
}

var _ runner.Runner = (*child)(nil)

// searchPath is the PATH of plugins on the farm's machine. It has nothing to
// do with the worker's PATH.
const searchPath = "/usr/local/bin:/usr/bin:/bin"

// newChild prepares the process of e with the folder dir of its own.
func newChild(e Entry, dir string) (*child, error) {
	tmp := filepath.Join(dir, "t")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.Command(e.Path, e.Args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + searchPath, "TMPDIR=" + tmp, "LANG=C"}
	cmd.SysProcAttr = attributes()
	return &child{entry: e, dir: dir, cmd: cmd, exited: make(chan struct{}), drained: make(chan struct{})}, nil
}

// Start checks the digest of the file and executes it.
func (c *child) Start(context.Context) error {
	// Each start needs a new hash, because Check adds to it. No result is kept: writing
	// through a mapping can change a file without changing its times.
	pinned := plugin.SecureConfig{Checksum: c.entry.SHA256[:], Hash: sha256.New()}
	same, err := pinned.Check(c.entry.Path)
	if err != nil {
		return fmt.Errorf("checking %s: %w", c.entry.Path, err)
	}
	if !same {
		return fmt.Errorf("checking %s: %w: its contents do not have the pinned %s; install the right file or pin the new one",
			c.entry.Path, plugin.ErrChecksumsDoNotMatch, c.entry.SHA256)
	}
	if err := c.pipes(); err != nil {
		return err
	}
	err = c.execute()
	for _, f := range []any{c.cmd.Stdout, c.cmd.Stderr} {
		err = errors.Join(err, f.(io.Closer).Close())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("starting %s: %w", c.entry.Path, err), c.stdout.Close(), c.stderr.Close())
	}
	go c.reap()
	return nil
}

func (c *child) execute() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return errors.New("no longer wanted")
	}
	err := c.cmd.Start()
	c.process = c.cmd.Process
	return err
}

func (c *child) pipes() error {
	var err error
	var out, errs *os.File
	if c.stdout, out, err = os.Pipe(); err != nil {
		return err
	}
	if c.stderr, errs, err = os.Pipe(); err != nil {
		return errors.Join(err, c.stdout.Close(), out.Close())
	}
	c.cmd.Stdout, c.cmd.Stderr = out, errs
	return nil
}

// reap waits for the process, ends the rest of its process group, and closes
// the pipes even if a descendant outside the group still holds them open.
func (c *child) reap() {
	waitAndEndGroup(c.cmd)
	close(c.exited)
	select {
	case <-c.drained:
	case <-time.After(time.Second):
	}
	_ = c.stdout.Close()
	_ = c.stderr.Close()
}

// Wait is called by go-plugin when it has read both pipes to their end.
func (c *child) Wait(context.Context) error {
	c.once.Do(func() { close(c.drained) })
	<-c.exited
	return nil
}

// Kill ends the process at once; reap then ends its group.
func (c *child) Kill(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.process == nil {
		return nil
	}
	// reap ends the rest of the group, while no other group can have its number.
	if err := c.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stdout returns the plugin's standard output.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr returns the plugin's standard error.
func (c *child) Stderr() io.ReadCloser { return c.stderr }

// Name returns the path of the program.
func (c *child) Name() string { return c.entry.Path }

// ID returns the process identifier; "" before the start.
func (c *child) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return ""
	}
	return strconv.Itoa(c.process.Pid)
}

// Diagnose returns a hint that go-plugin adds to errors of the start.
func (c *child) Diagnose(context.Context) string {
	return fmt.Sprintf("is it a plugin, and for %s/%s?", runtime.GOOS, runtime.GOARCH)
}

// PluginToHost refuses sockets outside the plugin's own folder.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || filepath.Clean(address) != address || !strings.HasPrefix(address, c.dir+string(filepath.Separator)) {
		return "", "", errors.New("it names an address outside of its own folder")
	}
	return network, address, nil
}

// HostToPlugin returns the address unchanged.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
