// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/zfarm/zfarm/workers"
)

// Keys made for these tests; nobody has the private halves.
const (
	keyA   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	keyB   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA"
	noHash = "|1|AAAAAAAAAAAAAAAAAAAAAAAAAAA=|AAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

func TestKnownHosts(t *testing.T) {
	t.Parallel()
	hashed := knownhosts.HashHostname("[zos1.example]:2222")
	tests := map[string]struct {
		file, address string
		want          []string
		text          string // of the error
	}{
		"name":             {"zos1.example " + keyA + " comment\nother " + keyB, "zos1.example:22", []string{keyA}, ""},
		"case":             {"ZOS1.example " + keyA, "zos1.EXAMPLE:22", []string{keyA}, ""},
		"list":             {"a,zos1.example,b " + keyA, "zos1.example:22", []string{keyA}, ""},
		"port":             {"zos1.example " + keyB + "\n[zos1.example]:2222 " + keyA, "zos1.example:2222", []string{keyA}, ""},
		"other port":       {"zos1.example " + keyB, "zos1.example:2222", nil, "ssh-keyscan -p 2222 zos1.example"},
		"hashed":           {noHash + " " + keyB + "\n" + hashed + " " + keyA, "zos1.example:2222", []string{keyA}, ""},
		"bad hash":         {"|1|??|?? " + keyB + "\n" + "h " + keyA, "h:22", []string{keyA}, ""},
		"pattern":          {"*.example,!zos2.example " + keyA, "zos1.example:22", []string{keyA}, ""},
		"excluded":         {"*.example,!zos2.example " + keyA, "zos2.example:22", nil, "no host key is pinned"},
		"question mark":    {"zos?.example " + keyA, "zos1.example:22", []string{keyA}, ""},
		"brackets":         {"[ab] " + keyA, "a:22", nil, "no host key is pinned"},
		"IPv6":             {"::1 " + keyA, "[::1]:22", []string{keyA}, ""},
		"two keys, twice":  {"h " + keyA + "\nh " + keyB + "\nh " + keyA, "h:22", []string{keyA, keyB}, ""},
		"revoked":          {"h " + keyA + "\nh " + keyB + "\n@revoked * " + keyA, "h:22", []string{keyB}, ""},
		"revoked first":    {"@revoked h " + keyA + "\nh " + keyA, "h:22", nil, "revoked"},
		"revoked for none": {"@revoked g " + keyA + "\nh " + keyA, "h:22", []string{keyA}, ""},
		"authority":        {"@cert-authority *.example " + keyA, "zos1.example:22", nil, "certificate authority"},
		"authority beside": {"@cert-authority h " + keyA + "\nh " + keyB, "h:22", []string{keyB}, ""},
		"damaged line":     {"h ssh-ed25519 AAAA\n# comment\n\nh " + keyA, "h:22", []string{keyA}, ""},
		"damaged revoked":  {"@revoked h ssh-ed25519 AAAA\nh " + keyA, "h:22", nil, "line 1"},
		"unknown marker":   {"@trusted h " + keyA, "h:22", nil, "line 1"},
		"empty":            {"", "h:22", nil, "fingerprint"},
		"no port":          {"h " + keyA, "h", nil, "host:port"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "known_hosts")
			if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := KnownHosts(file, test.address)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if (err != nil) != (test.text != "") || err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v; want %q in it", err, test.text)
			}
		})
	}
}

func TestKnownHostsFile(t *testing.T) {
	t.Parallel()
	if _, err := KnownHosts(filepath.Join(t.TempDir(), "none"), "h:22"); !errors.Is(err, workers.ErrHostKey) || !strings.Contains(err.Error(), "there is no file") || !strings.Contains(err.Error(), "ssh-keyscan") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := KnownHosts(t.TempDir(), "h:22"); err == nil {
		t.Error("a folder was read as a file")
	}
	_, err := knownKeys(nil, "h:22")
	if !errors.Is(err, workers.ErrHostKey) {
		t.Errorf("no key: %v; want ErrHostKey", err)
	}
}

func FuzzKnownHosts(f *testing.F) {
	f.Add([]byte("h,[h]:22 "+keyA+" c\n@revoked * "+keyB), "h:22")
	f.Add([]byte(noHash+" "+keyA+"\n@cert-authority *.x "+keyB), "[::1]:2222")
	f.Fuzz(func(t *testing.T, file []byte, address string) {
		keys, err := knownKeys(file, address)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%q, %v", keys, err)
		}
		for _, key := range keys {
			if _, err := parsePinned(address, []string{key}); err != nil && !strings.Contains(err.Error(), "cannot be pinned") {
				t.Errorf("key %q cannot be read back: %v", key, err)
			}
		}
	})
}

func TestCksum(t *testing.T) {
	t.Parallel()
	// The first is from the standard's own algorithm over no bytes; the
	// second is what every cksum prints for "abc".
	for text, want := range map[string]uint32{"": 4294967295, "abc": 1219131554} {
		c := newCksum()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if c.Sum32() != want {
			t.Errorf("cksum of %q is %d; want %d", text, c.Sum32(), want)
		}
	}
	program, err := exec.LookPath("cksum")
	if err != nil {
		t.Skip("no cksum here: install coreutils to compare with it")
	}
	b := bytes.Repeat([]byte("\x00\xffsome bytes"), 100_000)
	cmd := exec.Command(program)
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	c := newCksum()
	if _, err := io.Copy(c, iotest.HalfReader(bytes.NewReader(b))); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%d %d", c.Sum32(), len(b)); got != strings.TrimSpace(string(out)) {
		t.Errorf("cksum is %s; the program says %s", got, out)
	}
}

// packet is an sftp packet of that type.
func packet(kind byte, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)))
	return append(append(b, kind), payload...)
}

func names(count uint32) []byte {
	return packet(typeName, binary.BigEndian.AppendUint32([]byte{0, 0, 0, 7}, count))
}

func TestMeter(t *testing.T) {
	t.Parallel()
	data := packet(103, bytes.Repeat([]byte{typeName}, 50_000))
	stream := bytes.Join([][]byte{packet(2, []byte{0, 0, 0, 3}), data, names(100), packet(101, nil), names(200), data}, nil)
	var l listing
	got, err := io.ReadAll(l.meter(iotest.OneByteReader(bytes.NewReader(stream)), func(err error) error { return err }))
	if err != nil || !bytes.Equal(got, stream) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(stream), err)
	}
	if l.entries != 300 {
		t.Errorf("counted %d names; want 300", l.entries)
	}
	end := l.begin()
	if l.entries != 0 {
		t.Errorf("a new listing begins with %d names", l.entries)
	}
	end()
	if _, err := io.ReadAll(l.meter(bytes.NewReader(names(MaxEntries+1)), func(err error) error { return err })); err == nil {
		t.Error("too many names were let through")
	}
}

func FuzzMeter(f *testing.F) {
	f.Add(names(3))
	f.Add([]byte{0, 0, 0, 0, typeName})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, typeName, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole, slow listing
		same := func(err error) error { return err }
		got, err := io.ReadAll(whole.meter(bytes.NewReader(b), same))
		if err == nil && !bytes.Equal(got, b) {
			t.Fatal("other bytes")
		}
		if _, err2 := io.ReadAll(slow.meter(iotest.OneByteReader(bytes.NewReader(b)), same)); (err == nil) != (err2 == nil) || slow.entries != whole.entries {
			t.Fatalf("in one piece %d names, %v; in single bytes %d, %v", whole.entries, err, slow.entries, err2)
		}
	})
}
