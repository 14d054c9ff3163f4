// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sshtest

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"

	"github.com/zfarm/zfarm/workers/codepage"
)

// The programs of z/OS that matter to a transport. Tags are names of files in one list,
// which the sftp server reads.
const (
	uname = `#!/bin/sh
case $1 in
-a) echo 'OS/390 S0W1 29.00 05 8561' ;;
*) echo OS/390 ;;
esac
`
	chtag = `#!/bin/sh
[ -z "$ZFARM_NO_CHTAG" ] || { echo "FSUM6806 cannot set the tag" >&2; exit 1; }
[ "$1" = -b ] && [ -f "$2" ] || { echo "FSUM6805 usage: chtag -b file" >&2; exit 2; }
printf '%s\n' "$2" >>"$ZFARM_TAGS"
`
)

func writeZOS(t testing.TB, folder string) (bin, tags string) {
	t.Helper()
	bin = filepath.Join(folder, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"uname": uname, "chtag": chtag} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin, filepath.Join(folder, "tags")
}

// tagged reports whether a file was tagged as binary.
func (e *EmbeddedServer) tagged(file string) bool {
	list, err := os.ReadFile(e.tags)
	return err == nil && slices.Contains(strings.Split(string(list), "\n"), file)
}

// table returns the conversion of each byte from one code page to another.
func table(from, to encoding.Encoding) [256]byte {
	var t [256]byte
	for b := range t {
		text, err := from.NewDecoder().Bytes([]byte{byte(b)})
		if err != nil {
			panic(err) // both are bijections
		}
		out, err := to.NewEncoder().Bytes(text)
		if err != nil {
			panic(err)
		}
		t[b] = out[0]
	}
	return t
}

func ebcdic() encoding.Encoding {
	e, err := codepage.ForTag(codepage.IBM1047)
	if err != nil {
		panic(err) // it is one of those that ForTag knows
	}
	return e
}

func toEBCDIC(p []byte) []byte {
	t := table(charmap.ISO8859_1, ebcdic())
	out := make([]byte, len(p))
	for i, b := range p {
		out[i] = t[b]
	}
	return out
}

// convert passes the output of a command through its channel, with the faults.
func convert(w io.Writer, f Faults) io.Writer {
	c := &converter{w: w}
	switch {
	case f.ExecEBCDIC:
		c.table = table(charmap.ISO8859_1, ebcdic())
	case f.ExecDamage:
		// Programs here print ASCII where those of z/OS print EBCDIC, which sshd
		// converts to ASCII: text passes. Bytes that are not text were not EBCDIC and
		// become something else.
		c.table = table(ebcdic(), charmap.ISO8859_1)
		for b := range 128 {
			if b >= ' ' && b < 0x7f || b == '\n' || b == '\t' {
				c.table[b] = byte(b)
			}
		}
	default:
		return w
	}
	return c
}

type converter struct {
	w     io.Writer
	table [256]byte
}

func (c *converter) Write(p []byte) (int, error) {
	out := make([]byte, len(p))
	for i, b := range p {
		out[i] = c.table[b]
	}
	return c.w.Write(out)
}
