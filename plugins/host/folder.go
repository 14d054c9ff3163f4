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

// maxDir keeps the paths of sockets within 104 bytes, the lowest limit of any
// system. go-plugin and makeFolder add up to 49 bytes.
const maxDir = 55

const folderPrefix = "zfp-"

// makeFolder makes the private folder of one plugin process. Its name contains the
// process number of the farm.
func makeFolder(dir string) (string, error) {
	return os.MkdirTemp(dir, fmt.Sprintf("%s%d-", folderPrefix, os.Getpid()))
}

// removeStaleFolders removes the folders of farm processes that have ended.
func removeStaleFolders(dir string) error {
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
		// In a folder shared by several users, the folders of others stay.
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrPermission) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// owner returns the process number in a folder's name.
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
