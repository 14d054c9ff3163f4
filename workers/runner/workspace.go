// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
)

// runnerFolder is the runner's own folder in a workspace. No method of Workspace accepts
// a name in it.
const runnerFolder = ".zfarm"

// Exit codes of our own commands, distinct from those of shells and tools.
const (
	codeNoRunner = 7 // runner.sh is missing
	codeBegun    = 3 // begun/ exists, but its watcher does not
)

// workspace is the folder of one attempt. It keeps no state in this process: everything
// is on the machine, where another orchestrator can join it.
type workspace struct {
	host    Host
	options Options
	shell   *usableShell
	root    string
}

// open makes missing folders and puts the script there.
func (w *workspace) open(ctx context.Context) error {
	root := quoteWord(w.root)
	out, err := w.host.Exec(ctx, "umask 077; mkdir -p "+root+" && [ ! -h "+root+" ] && cd "+root+
		" && mkdir -p "+runnerFolder+"/steps "+runnerFolder+"/next")
	if err != nil {
		return err
	}
	if out.Code != 0 {
		return fmt.Errorf("%w: making %s, %w; see that its user may write there and that there is room", workers.ErrUnfit, w.root, commandError(out))
	}
	return w.putScript(ctx)
}

// putScript puts runner.sh. A running watcher keeps the file it has open.
func (w *workspace) putScript(ctx context.Context) error {
	text, err := w.shell.encode(runnerScript)
	if err != nil {
		return err
	}
	_, err = w.host.Put(ctx, path.Join(w.root, runnerFolder, "runner.sh"), 0o700, strings.NewReader(string(text)))
	return err
}

// Root returns the path of the workspace on its machine.
func (w *workspace) Root() string { return w.root }

// command returns the line that calls the runner in the workspace.
func (w *workspace) command(verb string, arguments ...string) string {
	script := quoteWord(path.Join(w.root, runnerFolder, "runner.sh"))
	line := "[ -f " + script + " ] || exit " + fmt.Sprint(codeNoRunner) + "; umask 077; cd " + quoteWord(w.root) +
		" && exec env -i PATH=" + quoteWord(w.shell.searchPath) + " ZFARM_ROOT=" + quoteWord(w.root) +
		" ZFARM_SHELL=" + quoteWord(w.shell.program) + " " + quoteWord(w.shell.program) + " " + script + " " + verb
	for _, a := range arguments {
		line += " " + quoteWord(a)
	}
	return line
}

// checkedName returns the cleaned name, or an error if it must not be used.
func (w *workspace) checkedName(name string) (string, error) {
	clean, err := workers.CleanName(name)
	if err != nil {
		return "", err
	}
	if clean == runnerFolder || strings.HasPrefix(clean, runnerFolder+"/") {
		return "", &fs.PathError{Op: "name", Path: name, Err: fs.ErrPermission}
	}
	return clean, nil
}

func (w *workspace) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	clean, err := w.checkedName(name)
	if err == nil && clean == "." {
		err = fs.ErrInvalid
	}
	if err == nil {
		err = w.makeParent(ctx, path.Dir(clean))
	}
	if err != nil {
		return digest.Digest{}, fmt.Errorf("putting %s: %w", name, err)
	}
	d, err := w.host.Put(ctx, path.Join(w.root, clean), mode, r)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("putting %s: %w", name, err)
	}
	return d, nil
}

func (w *workspace) makeParent(ctx context.Context, dir string) error {
	if dir == "." {
		return nil
	}
	full := path.Join(w.root, dir)
	if e, err := w.host.Stat(ctx, full); err == nil && e.Mode.IsDir() {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Below the root only: a removed workspace must not come back because an
	// orchestrator that does not know of the removal puts one more file there.
	out, err := w.host.Exec(ctx, "umask 022; cd "+quoteWord(w.root)+" && mkdir -p "+quoteWord("./"+dir))
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("making its folder: %w", commandError(out))
	}
	return err
}

func (w *workspace) Get(ctx context.Context, name string, to io.Writer) (digest.Digest, error) {
	clean, err := w.checkedName(name)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("getting %s: %w", name, err)
	}
	sum := digest.NewWriter(to)
	if _, err := w.copyFrom(ctx, path.Join(w.root, clean), 0, sum); err != nil {
		return digest.Digest{}, fmt.Errorf("getting %s: %w", name, err)
	}
	return sum.Digest(), nil
}

// copyFrom copies a file from offset to its current end.
func (w *workspace) copyFrom(ctx context.Context, file string, offset int64, to io.Writer) (n int64, err error) {
	r, err := w.host.Open(ctx, file, offset)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	buffer := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		got, err := r.Read(buffer)
		if got > 0 {
			wrote, err := to.Write(buffer[:got])
			n += int64(wrote)
			if err != nil {
				return n, err
			}
		}
		if err == io.EOF { // compared, not unwrapped: a lost connection may wrap it
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

func (w *workspace) List(ctx context.Context, dir string) ([]workers.Entry, error) {
	clean, err := w.checkedName(dir)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	entries, err := w.host.List(ctx, path.Join(w.root, clean))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	if clean == "." {
		entries = slices.DeleteFunc(entries, func(e workers.Entry) bool { return e.Name == runnerFolder })
	}
	return entries, nil
}

func (w *workspace) Stop(ctx context.Context) error {
	err := w.stop(ctx)
	if err != nil {
		return fmt.Errorf("stopping %s: %w", w.root, err)
	}
	return nil
}

// stop ends all steps with a runner.sh that it has just put there: a step may have
// deleted or changed the one it was started by.
func (w *workspace) stop(ctx context.Context) error {
	out, err := w.host.Exec(ctx, "[ -d "+quoteWord(path.Join(w.root, runnerFolder, "steps"))+" ] && echo steps")
	if err != nil || !strings.Contains(string(out.Stdout), "steps") {
		return err
	}
	if err := w.putScript(ctx); err != nil {
		return err
	}
	if out, err = w.host.Exec(ctx, w.command("stop")); err == nil && out.Code != 0 {
		err = fmt.Errorf("a step is still running, %w; look on the worker for the process that hangs", commandError(out))
	}
	return err
}

func (w *workspace) Remove(ctx context.Context) error {
	parent, id := path.Split(w.root)
	if path.Clean(parent) != w.options.Root || !workers.ValidID(id) {
		return fmt.Errorf("removing %s, which is no workspace in %s: %w", w.root, w.options.Root, fs.ErrInvalid)
	}
	if err := w.stop(ctx); err != nil {
		return fmt.Errorf("removing %s: %w", w.root, err)
	}
	// Folders only, and without following links: chmod -R might go through a link that
	// a step left to a place outside.
	out, err := w.host.Exec(ctx, "cd "+quoteWord(w.options.Root)+" || exit; rm -rf ./"+id+
		" 2>/dev/null || { find ./"+id+" -type d -exec chmod u+rwx {} \\; ; rm -rf ./"+id+"; }")
	if err == nil && out.Code != 0 {
		err = commandError(out)
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", w.root, err)
	}
	return nil
}
