// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/recipes"
)

// Bounds on the files beside a recipe, in bytes.
const (
	maxFile  = 16 << 20
	maxFiles = 64 << 20 // all files together
)

// file reads a file that the recipe names.
func (p *parser) file(at hcl.Range, name string) (recipes.File, bool) {
	if !fs.ValidPath(name) || name == "." || strings.Contains(name, `\`) || len(name) > 200 {
		p.errorf(at, "Invalid file name", "Name a file beside the recipe or in a folder below, such as \"patches/zos.patch\", with slashes and without ..")
		return recipes.File{}, false
	}
	data, err := readFile(p.fsys, name, min(maxFile, maxFiles-p.read))
	if errors.Is(err, fs.ErrNotExist) {
		p.errorf(at, "Missing file", "There is no file %q beside the recipe. Add it, or correct the name.", name)
		return recipes.File{}, false
	}
	if err == nil && len(data) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		p.errorf(at, "Unusable file", "The file %q cannot be used: %s.", name, err)
		return recipes.File{}, false
	}
	p.read += int64(len(data))
	return recipes.File{Name: name, Digest: digest.Of(data), Data: data}, true
}

// readFile reads a regular file of at most the given size. It follows no
// symbolic link on the way there.
func readFile(fsys fs.FS, name string, most int64) ([]byte, error) {
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' {
			continue
		}
		info, err := fs.Lstat(fsys, name[:i])
		if err != nil {
			return nil, err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("%s is a symbolic link; put the file itself there", name[:i])
		}
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := readRegular(f, most)
	return data, errors.Join(err, f.Close())
}

func readRegular(f fs.File, most int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it has more than the %d bytes allowed", most)
	}
	return data, err
}

// checkKey requires armoured public keys.
func (p *parser) checkKey(at hcl.Range, f recipes.File) bool {
	switch {
	case bytes.Contains(f.Data, []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----")):
		p.errorf(at, "Private key", "The file %q holds a private key. Remove it from wherever it was published, and put the public key there.", f.Name)
	case !bytes.Contains(f.Data, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")):
		p.errorf(at, "Invalid key", "The file %q holds no armoured public key. \"gpg --armor --export\" writes one.", f.Name)
	default:
		return true
	}
	return false
}
