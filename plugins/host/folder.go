// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxDir keeps the paths of sockets within the 104 bytes that the narrowest
// system has for them: what go-plugin and folder below add takes up to 49.
const maxDir = 55

const folderPrefix = "zfp-"

// folder makes the private folder of one plugin process. Its name tells which
// farm made it.
func folder(dir string) (string, error) {
	return os.MkdirTemp(dir, fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()))
}

// sweep removes the folders of farms that are no more.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		pid, ok := owner(e.Name())
		if !ok || !e.IsDir() || alive(pid) {
			continue
		}
		// In a folder that several users share, others' stay.
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrPermission) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// owner returns the process that a folder's name speaks of.
func owner(name string) (int, bool) {
	rest, ok := strings.CutPrefix(name, folderPrefix)
	if !ok {
		return 0, false
	}
	number, _, ok := strings.Cut(rest, "-")
	if !ok {
		return 0, false
	}
	pid, err := strconv.Atoi(number)
	return pid, err == nil && pid > 0
}
